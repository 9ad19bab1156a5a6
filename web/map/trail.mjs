/** Where the chosen vehicle has been: asked from the server, then drawn on as it moves. Bounded to LIMIT points. */
import { api } from './api.mjs';
import { mercatorX, mercatorY, metreAt } from './geo.mjs';

const LIMIT = 600;
const BREAK_M = 1500; // two points further apart are not joined: what lies between is not known
const REFRESH_MS = 60_000;

export class Trail {
  /** Of {x, y, timeMs}, oldest first. */
  points = [];
  vehicle = null;
  /** Positions as the server gave them, newest last, or null: for a vehicle that is not in view. */
  newest = null;
  /** Points later than this are not drawn: the time that is replayed. */
  untilMs = Infinity;
  #asked = null;
  #timer = null;

  /** @param {() => object | undefined} find gives the chosen vehicle where it is drawn */
  constructor(find) {
    this.find = find;
  }

  /** Follows another vehicle; null none. Resolves when the past is here. */
  async show(vehicle) {
    this.#asked?.abort();
    clearInterval(this.#timer);
    this.points = [];
    this.newest = null;
    this.vehicle = vehicle;
    if (vehicle === null) return;
    this.#timer = setInterval(() => this.load(), REFRESH_MS);
    await this.load();
  }

  /** Asks for the past again, e.g. after the connection was away. */
  async load() {
    const { vehicle } = this;
    if (vehicle === null) return;
    this.#asked?.abort();
    this.#asked = new AbortController();
    try {
      const { positions } = await api.trail(vehicle, this.#asked.signal);
      if (vehicle !== this.vehicle) return;
      this.points = positions.slice(-LIMIT).map(({ longitude, latitude, timestamp }) =>
        ({ x: mercatorX(longitude), y: mercatorY(latitude), latitude, timeMs: Number(timestamp) }));
      this.newest = positions.at(-1) ?? null;
    } catch (error) {
      if (error.status === 404) this.newest = null; // unknown there: the trail begins with what is seen from now on
    }
  }

  /** A new position of a vehicle. */
  onPosition({ id, lat, lon, time_ms: timeMs }) {
    if (id !== this.vehicle || timeMs <= (this.points.at(-1)?.timeMs ?? 0)) return;
    this.points.push({ x: mercatorX(lon / 1e6), y: mercatorY(lat / 1e6), latitude: lat / 1e6, timeMs });
    if (this.points.length > LIMIT) this.points.shift();
  }

  draw({ context, camera, ratio, palette }) {
    const points = this.#pointsTo(this.find());
    if (points.length < 2) return;
    context.lineJoin = context.lineCap = 'round';
    for (const [width, colour, alpha] of [[7, palette.outline, 0.8], [4, palette.selected, 1]]) {
      context.globalAlpha = alpha;
      context.lineWidth = width * ratio;
      context.strokeStyle = colour;
      trace(context, camera, ratio, points);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** Up to the picture of the vehicle: the newest point may be ahead of what is drawn. */
  #pointsTo(vehicle) {
    if (this.vehicle === null) return [];
    const untilMs = Math.min(this.untilMs, vehicle?.data.time_ms - 1 || Infinity);
    const points = this.points.filter((point) => point.timeMs <= untilMs);
    return vehicle ? [...points, vehicle] : points;
  }
}

function trace(context, camera, ratio, points) {
  context.beginPath();
  let last = null;
  for (const point of points) {
    const [x, y] = [camera.screenX(point.x, point.y) * ratio, camera.screenY(point.x, point.y) * ratio];
    const apart = last && Math.hypot(point.x - last.x, point.y - last.y) > BREAK_M * metreAt(last.latitude);
    if (last && !apart) context.lineTo(x, y);
    else context.moveTo(x, y);
    last = point;
  }
}
