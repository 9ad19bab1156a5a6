/**
 * The last minutes once more: positions from the server's log in pieces of CHUNK_MS, and the vehicles where they were at a moment. At most
 * CHUNKS pieces are kept.
 */
import { api } from './api.mjs';
import { mercatorX, mercatorY, latitudeOf, longitudeOf, widen } from './geo.mjs';
import { MODES } from './wire.mjs';

const CHUNK_MS = 30_000;
const OVERLAP_MS = 8_000; // pieces reach into each other, so that a vehicle never stands at a seam
const CHUNKS = 5;
const GAP_MS = 15_000; // without a position for longer, a vehicle waits at the last one
const GONE_MS = 20_000;
const MARGIN = 0.2;
const REST_MS = 120; // who drags the slider over a piece does not want it

class ReplayedVehicle {
  alpha = 1;
  x = 0;
  y = 0;
  heading = 0;
  doorsOpen = false;

  constructor({ id, mode, line, points }) {
    this.data = { id, mode: typeof mode === 'number' ? mode : Math.max(0, MODES.indexOf(mode)), line: line ?? '', headsign: '', flags: 0, lat: 0, lon: 0 };
    this.times = Float64Array.from(points, (point) => point[0]);
    this.xs = Float64Array.from(points, (point) => mercatorX(point[1]));
    this.ys = Float64Array.from(points, (point) => mercatorY(point[2]));
    this.headings = Float32Array.from(points, (point) => point[3] ?? 0);
  }

  get id() {
    return this.data.id;
  }

  get latitude() {
    return latitudeOf(this.y);
  }

  get longitude() {
    return longitudeOf(this.x);
  }

  /** Moves to where it was; false when it was not there. */
  seek(timeMs) {
    const { times } = this;
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] <= timeMs) low = middle + 1;
      else high = middle;
    }
    const before = low - 1;
    if (before < 0 || (low === times.length && timeMs - times[before] > GONE_MS)) return false;
    const span = low < times.length ? times[low] - times[before] : 0;
    this.#between(before, span > 0 && span <= GAP_MS ? (timeMs - times[before]) / span : 0);
    this.data.time_ms = timeMs;
    return true;
  }

  #between(i, t) {
    const next = t > 0 ? i + 1 : i;
    this.x = this.xs[i] + (this.xs[next] - this.xs[i]) * t;
    this.y = this.ys[i] + (this.ys[next] - this.ys[i]) * t;
    this.heading = this.headings[i] + ((((this.headings[next] - this.headings[i]) % 360) + 540) % 360 - 180) * t;
  }
}

export class Replay extends EventTarget {
  #box;
  #chunks = new Map();
  #asked = new AbortController();
  #current = new Map();

  /** @param {() => object} box what the map shows; `loading` is dispatched when pieces come and go */
  constructor(box) {
    super();
    this.#box = box;
    this.loading = 0;
    this.failed = false;
    /** The moment that was asked for last is known, and nothing was there. */
    this.empty = false;
  }

  /** Forgets what was loaded, e.g. because the map shows another place. */
  clear() {
    this.#asked.abort();
    this.#asked = new AbortController();
    this.#chunks.clear();
    this.#current.clear();
    this.empty = false;
  }

  get(id) {
    return this.#current.get(id);
  }

  /** The vehicles at this moment; what is missing is asked for, with what comes next at that speed. */
  vehiclesAt(timeMs, speed = 1) {
    const start = Math.floor(timeMs / CHUNK_MS) * CHUNK_MS;
    const chunk = this.#need(start);
    if (timeMs - start > CHUNK_MS / 2 || speed > 2) this.#need(start + CHUNK_MS);
    if (!chunk.vehicles) return this.#current.values(); // until it is here, what was shown stands
    this.#current.clear();
    for (const vehicle of chunk.vehicles) if (vehicle.seek(timeMs)) this.#current.set(vehicle.id, vehicle);
    this.empty = this.#current.size === 0;
    return this.#current.values();
  }

  #need(start) {
    const known = this.#chunks.get(start);
    if (known) return known;
    const chunk = { vehicles: null };
    if (this.#chunks.size >= CHUNKS) this.#chunks.delete(this.#chunks.keys().next().value);
    this.#chunks.set(start, chunk);
    setTimeout(() => this.#chunks.get(start) === chunk && this.#load(start, chunk), REST_MS);
    return chunk;
  }

  async #load(start, chunk) {
    const { signal } = this.#asked;
    this.#report(1);
    try {
      const { vehicles } = await api.replay(start - OVERLAP_MS, start + CHUNK_MS + OVERLAP_MS, widen(this.#box(), MARGIN), signal);
      chunk.vehicles = vehicles.map((vehicle) => new ReplayedVehicle(vehicle));
      this.failed = false;
    } catch (error) {
      if (error.name === 'AbortError') return void this.#report(-1);
      this.failed = true;
      setTimeout(() => this.#chunks.get(start) === chunk && this.#chunks.delete(start), 2000); // then it is asked for again
    }
    this.#report(-1);
  }

  #report(change) {
    this.loading += change;
    this.dispatchEvent(new Event('loading'));
  }
}
