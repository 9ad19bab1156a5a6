/** The layer of vehicles: pictures when the map is close, clusters when it shows the region, lines' names when there is room. */
import { Clusters } from './clusters.mjs';
import { modeName } from './palette.mjs';
import { Labels, Sprites, spriteSize } from './sprites.mjs';
import { FLAG } from './wire.mjs';

const CLUSTER_ZOOM = 10.5; // below it vehicles are clusters
const CROSSING_MS = 250;
const LABEL_ZOOM = 13.2;
const LABEL_LIMIT = 260;
const DIM = 0.45;
const POINT_PX = 13;

export class Traffic {
  /** Vehicles drawn in the last frame: {vehicle, x, y}, CSS pixels. */
  visible = [];
  #source;
  #isShown;
  #items = [];
  #clusters = new Clusters();
  #sprites = new Sprites();
  #labels = new Labels();
  #clustered = 0; // 1: clusters, 0: vehicles, between: one fades into the other
  #last = 0;

  /**
   * @param {() => Iterable} source the vehicles of the moment, after advance()
   * @param {(vehicle) => boolean} isShown the page's filter
   */
  constructor(source, isShown) {
    this.#source = source;
    this.#isShown = isShown;
    this.selected = null;
    this.hovered = null;
  }

  get clusters() {
    return this.#clustered > 0.5 ? this.#clusters.shown : [];
  }

  draw(frame) {
    const { camera, now, context, palette, ratio } = frame;
    const vehicles = [];
    for (const vehicle of this.#source(now)) if (this.#isShown(vehicle)) vehicles.push(vehicle);
    this.#cross(camera.zoom < CLUSTER_ZOOM, now);
    const all = this.#clustered < 1;
    if (this.#clustered > 0) this.#clusters.update(vehicles, camera, now);
    this.#place(all ? vehicles : this.#clusters.single, camera);
    this.#drawVehicles(frame, all ? 1 - this.#clustered : 1);
    if (this.#clustered > 0) this.#clusters.draw(context, palette, ratio, this.#clustered);
  }

  #cross(toClusters, now) {
    const step = Math.min(1, (now - this.#last) / CROSSING_MS);
    this.#last = now;
    this.#clustered = Math.min(1, Math.max(0, this.#clustered + (toClusters ? step : -step)));
  }

  #place(vehicles, camera) {
    const margin = 40;
    let count = 0;
    for (const vehicle of vehicles) {
      const [x, y] = [camera.screenX(vehicle.x, vehicle.y), camera.screenY(vehicle.x, vehicle.y)];
      if (x < -margin || y < -margin || x > camera.width + margin || y > camera.height + margin) continue;
      const item = (this.#items[count] ??= { vehicle: null, x: 0, y: 0 }); // frames make no garbage
      item.vehicle = vehicle;
      item.x = x;
      item.y = y;
      this.visible[count++] = item;
    }
    this.visible.length = count;
    if (this.#items.length > 2 * count + 1000) this.#items.length = count;
  }

  #drawVehicles(frame, alpha) {
    const { context, camera, ratio, palette } = frame;
    const size = spriteSize(camera.zoom);
    const turn = (camera.turn * 180) / Math.PI;
    this.#sprites.use(size, ratio, palette);
    for (const { vehicle, x, y } of this.visible) {
      const opacity = vehicle.alpha * alpha * (vehicle.data.flags & FLAG.NO_FIX ? DIM : 1);
      if (context.globalAlpha !== opacity) context.globalAlpha = opacity;
      this.#sprites.draw(context, modeName(vehicle.data.mode), vehicle.doorsOpen, vehicle.heading + turn, x * ratio, y * ratio);
    }
    context.globalAlpha = 1;
    if (camera.zoom >= LABEL_ZOOM && this.visible.length <= LABEL_LIMIT) this.#drawLabels(context, size, ratio, palette);
    this.#drawMarked(frame, size);
  }

  /** Texts that would lie over others are left out; the chosen vehicle's comes first. */
  #drawLabels(context, size, ratio, palette) {
    this.#labels.use(ratio, palette);
    const taken = [];
    const chosen = this.visible.filter(({ vehicle }) => vehicle.id === this.selected);
    for (const { vehicle, x, y } of [...chosen, ...this.visible]) {
      if (!vehicle.data.line) continue;
      const { width, height } = this.#labels.picture(vehicle.data.line, modeName(vehicle.data.mode));
      const box = { left: (x + size / 2) * ratio, top: y * ratio - height / 2, width, height };
      if (taken.some((other) => overlaps(box, other))) continue;
      taken.push(box);
      this.#labels.draw(context, vehicle.data.line, modeName(vehicle.data.mode), box.left, y * ratio);
    }
  }

  /** The chosen vehicle and the one pointed at: once more above all others, with a ring. */
  #drawMarked({ context, camera, ratio, palette }, size) {
    if (!this.selected && !this.hovered) return;
    const turn = (camera.turn * 180) / Math.PI;
    for (const { vehicle, x, y } of this.visible) {
      const isSelected = vehicle.id === this.selected;
      if (!isSelected && vehicle.id !== this.hovered) continue;
      this.#sprites.draw(context, modeName(vehicle.data.mode), vehicle.doorsOpen, vehicle.heading + turn, x * ratio, y * ratio);
      context.beginPath();
      context.arc(x * ratio, y * ratio, (size / 2 + 7) * ratio, 0, 2 * Math.PI);
      context.lineWidth = (isSelected ? 3 : 2) * ratio;
      context.strokeStyle = isSelected ? palette.selected : palette.muted;
      context.stroke();
    }
  }

  /** What is at this point of the screen: {vehicle}, {cluster} or null; the nearest. */
  at(x, y, reach = POINT_PX) {
    let [best, bestDistance] = [null, reach];
    for (const item of this.visible) {
      const distance = Math.hypot(item.x - x, item.y - y);
      if (distance < bestDistance && item.vehicle.alpha > 0.3) [best, bestDistance] = [{ vehicle: item.vehicle, x: item.x, y: item.y }, distance];
    }
    if (best) return best;
    const cluster = this.clusters.find((disc) => Math.hypot(disc.x - x, disc.y - y) <= disc.radius);
    return cluster ? { cluster, x: cluster.x, y: cluster.y } : null;
  }
}

const overlaps = (a, b) => a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
