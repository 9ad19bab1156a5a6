/**
 * The canvas over the map and its frames. Layers draw on it in their order; each gets {context, camera, now, ratio, palette} with the
 * context in device pixels and the camera in CSS pixels. While the map moves a frame is drawn with the map's own, else by itself.
 */
import { Camera } from './geo.mjs';
import { currentPalette, onPaletteChange } from './palette.mjs';

const RATE_WINDOW_MS = 1000;
const COSTS = 240; // frames of which the cost is remembered
const LONELY_MS = 120; // the map claims to move, but draws nothing: draw without it

export class Scene {
  camera = new Camera();
  /** Drawn so far, and how many a second lately. */
  frames = 0;
  framesPerSecond = 0;
  #costs = new Float32Array(COSTS);
  #layers;
  #drawnAt = 0;
  #windowFrom = 0;
  #windowFrames = 0;

  constructor(map, canvas, layers) {
    this.map = map;
    this.canvas = canvas;
    this.#layers = layers;
    this.context = canvas.getContext('2d');
    this.palette = currentPalette();
    onPaletteChange((palette) => { this.palette = palette; });
    map.on('render', () => map.isMoving() && this.#draw(performance.now()));
    requestAnimationFrame((now) => this.#onFrame(now));
  }

  /** How long drawing took in the page itself, the median of the last frames: other work on the machine hardly shows in it. */
  get medianDrawMs() {
    const costs = this.#costs.slice(0, Math.min(this.frames, COSTS)).sort();
    return costs.length ? costs[costs.length >> 1] : 0;
  }

  #onFrame(now) {
    requestAnimationFrame((next) => this.#onFrame(next));
    if (!this.map.isMoving() || now - this.#drawnAt > LONELY_MS) this.#draw(now);
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.map.getContainer();
    const ratio = window.devicePixelRatio || 1;
    const [deviceWidth, deviceHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== deviceWidth || this.canvas.height !== deviceHeight) {
      this.canvas.width = deviceWidth;
      this.canvas.height = deviceHeight;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    this.camera.read(this.map, width, height);
    return ratio;
  }

  #draw(now) {
    const started = performance.now();
    const ratio = this.#fit();
    const { context, camera, palette } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = false; // pictures are painted in device pixels and only copied
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const layer of this.#layers) layer.draw({ context, camera, now, ratio, palette });
    this.#drawnAt = now;
    this.#measure(now, performance.now() - started);
  }

  #measure(now, tookMs) {
    this.#costs[this.frames++ % COSTS] = tookMs;
    this.#windowFrames++;
    if (now - this.#windowFrom < RATE_WINDOW_MS) return;
    this.framesPerSecond = (this.#windowFrames * 1000) / (now - this.#windowFrom);
    this.#windowFrom = now;
    this.#windowFrames = 0;
  }
}
