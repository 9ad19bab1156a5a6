/** Pictures of vehicles, painted once for every mode, state, size and direction, so that a frame only copies them. */
const DIRECTIONS = 64;
const SIZES = 6; // kept at once; zooming through all of them costs no memory

/** Shapes point north around 0,0 and fit into a circle of radius 1. */
const shapes = {
  bus: (p) => {
    p.moveTo(0, -1);
    p.bezierCurveTo(0.35, -0.6, 0.72, -0.2, 0.62, 0.3);
    p.bezierCurveTo(0.52, 0.92, -0.52, 0.92, -0.62, 0.3);
    p.bezierCurveTo(-0.72, -0.2, -0.35, -0.6, 0, -1);
  },
  tram: (p) => {
    p.moveTo(0, -1);
    p.quadraticCurveTo(0.5, -0.75, 0.5, -0.3);
    p.lineTo(0.5, 0.75);
    p.quadraticCurveTo(0.5, 0.95, 0.3, 0.95);
    p.lineTo(-0.3, 0.95);
    p.quadraticCurveTo(-0.5, 0.95, -0.5, 0.75);
    p.lineTo(-0.5, -0.3);
    p.quadraticCurveTo(-0.5, -0.75, 0, -1);
  },
  train: (p) => {
    p.moveTo(-0.18, -1);
    p.lineTo(0.18, -1);
    p.lineTo(0.5, -0.5);
    p.lineTo(0.5, 0.86);
    p.lineTo(-0.5, 0.86);
    p.lineTo(-0.5, -0.5);
  },
  metro: (p) => {
    p.moveTo(0, -1);
    p.lineTo(0.42, -0.62);
    p.arc(0, 0.08, 0.8, -Math.PI / 2 + 0.56, Math.PI * 1.5 - 0.56);
  },
  ferry: (p) => {
    p.moveTo(0, -1);
    p.quadraticCurveTo(0.68, -0.35, 0.56, 0.35);
    p.lineTo(0.36, 0.95);
    p.lineTo(-0.36, 0.95);
    p.lineTo(-0.56, 0.35);
    p.quadraticCurveTo(-0.68, -0.35, 0, -1);
  },
  robot: (p) => {
    p.moveTo(0, -1);
    p.lineTo(0.75, 0.1);
    p.lineTo(0, 0.85);
    p.lineTo(-0.75, 0.1);
  },
};
shapes.ubus = shapes.bus;
shapes.other = shapes.robot;

/** Open doors: a bright body and two leaves drawn apart. */
function paintDoors(context, colour, outline, radius) {
  context.fillStyle = outline;
  context.beginPath();
  context.arc(0, radius * 0.12, radius * 0.42, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = colour;
  const [width, height] = [radius * 0.16, radius * 0.46];
  for (const x of [-radius * 0.26, radius * 0.26 - width]) context.fillRect(x, radius * 0.12 - height / 2, width, height);
}

/** Width of the line around a shape, CSS pixels; half of it lies outside. */
const outlineOf = (size) => (size < 12 ? 2 : 3.2);

function paint(context, mode, doorsOpen, size, palette) {
  const radius = size / 2;
  const shape = new Path2D();
  shapes[mode](shape);
  shape.closePath();
  context.save();
  context.scale(radius, radius);
  context.lineJoin = 'round';
  context.strokeStyle = palette.outline;
  context.lineWidth = outlineOf(size) / radius;
  context.stroke(shape);
  context.fillStyle = palette.modes[mode];
  context.fill(shape);
  context.restore();
  if (doorsOpen && size >= 12) paintDoors(context, palette.modes[mode], palette.outline, radius);
}

/** Side of a vehicle's picture in CSS pixels; even numbers, so that few sizes are painted. */
export function spriteSize(zoom) {
  const stops = [[8, 8], [10, 9], [11, 12], [12.5, 16], [14, 22], [16, 30], [18, 36]];
  const after = stops.findIndex(([stop]) => stop > zoom);
  if (after === 0) return stops[0][1];
  if (after < 0) return stops.at(-1)[1];
  const [[fromZoom, fromSize], [toZoom, toSize]] = [stops[after - 1], stops[after]];
  return 2 * Math.round((fromSize + ((zoom - fromZoom) / (toZoom - fromZoom)) * (toSize - fromSize)) / 2);
}

export class Sprites {
  #palette = null;
  #ratio = 0;
  #sizes = new Map();

  /** Prepares a frame: pictures of `size` CSS pixels on a screen of `ratio` device pixels each. */
  use(size, ratio, palette) {
    if (palette !== this.#palette || ratio !== this.#ratio) this.#sizes.clear();
    this.#palette = palette;
    this.#ratio = ratio;
    let rows = this.#sizes.get(size);
    if (!rows && this.#sizes.size >= SIZES) this.#sizes.delete(this.#sizes.keys().next().value);
    if (!rows) this.#sizes.set(size, (rows = new Map()));
    this.rows = rows;
    this.size = size;
    this.cell = Math.ceil((size + outlineOf(size)) * ratio) + 1; // no more than that: every pixel of it is blended 2,500 times a frame
  }

  /** Copies one picture; x and y are device pixels, `angle` degrees clockwise on the screen. */
  draw(context, mode, doorsOpen, angle, x, y) {
    const { cell } = this;
    const direction = ((Math.round((angle / 360) * DIRECTIONS) % DIRECTIONS) + DIRECTIONS) % DIRECTIONS;
    const row = this.#row(mode, doorsOpen);
    context.drawImage(row, direction * cell, 0, cell, cell, Math.round(x - cell / 2), Math.round(y - cell / 2), cell, cell);
  }

  #row(mode, doorsOpen) {
    const key = doorsOpen ? `${mode}+` : mode;
    let row = this.rows.get(key);
    if (!row) this.rows.set(key, (row = this.#paintRow(mode, doorsOpen)));
    return row;
  }

  #paintRow(mode, doorsOpen) {
    const { cell } = this;
    const canvas = document.createElement('canvas');
    canvas.width = cell * DIRECTIONS;
    canvas.height = cell;
    const context = canvas.getContext('2d');
    for (let i = 0; i < DIRECTIONS; i++) {
      context.setTransform(this.#ratio, 0, 0, this.#ratio, (i + 0.5) * cell, cell / 2);
      context.rotate((i / DIRECTIONS) * 2 * Math.PI);
      paint(context, mode, doorsOpen, this.size, this.#palette);
    }
    return canvas;
  }
}

/** Small texts painted once: names of lines beside their vehicles. Bounded; the oldest goes. */
export class Labels {
  #painted = new Map();
  #palette = null;
  #ratio = 0;

  use(ratio, palette) {
    if (palette !== this.#palette || ratio !== this.#ratio) this.#painted.clear();
    this.#palette = palette;
    this.#ratio = ratio;
  }

  /** Left of the text at x, its middle at y. */
  draw(context, text, mode, x, y) {
    const picture = this.picture(text, mode);
    context.drawImage(picture, Math.round(x), Math.round(y - picture.height / 2));
  }

  /** The canvas with this text, in device pixels. */
  picture(text, mode) {
    const key = `${mode} ${text}`;
    let picture = this.#painted.get(key);
    if (!picture) {
      if (this.#painted.size >= 800) this.#painted.delete(this.#painted.keys().next().value);
      this.#painted.set(key, (picture = this.#paint(text, mode)));
    }
    return picture;
  }

  #paint(text, mode) {
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    const font = `600 ${11 * this.#ratio}px system-ui, "DejaVu Sans", sans-serif`;
    context.font = font;
    canvas.width = Math.ceil(context.measureText(text).width + 6 * this.#ratio);
    canvas.height = 16 * this.#ratio;
    context.font = font;
    context.textBaseline = 'middle';
    context.lineJoin = 'round';
    context.lineWidth = 3 * this.#ratio;
    context.strokeStyle = this.#palette.dark ? 'rgba(13, 18, 24, .9)' : 'rgba(255, 255, 255, .92)';
    context.strokeText(text, 3 * this.#ratio, canvas.height / 2);
    context.fillStyle = this.#palette.modes[mode];
    context.fillText(text, 3 * this.#ratio, canvas.height / 2);
    return canvas;
  }
}
