/**
 * The vehicles that the server says are in view, newest position of each. Bounded: what leaves is dropped, and past LIMIT the one that was
 * silent for longest goes.
 */
import { Vehicle } from './vehicle.mjs';

const LIMIT = 20_000;
const CLOCK_SAMPLES = 30;
const FUTURE_MS = 60_000; // a vehicle's clock that is so far ahead is wrong

export class Fleet {
  /** By id; includes those that fade out. */
  vehicles = new Map();
  /** Time of the newest position, and when on the page's clock (performance.now()) it and anything at all came. */
  newestMs = 0;
  newestAt = 0;
  heardAt = -Infinity;
  #offsets = [];

  /** How many are here and not on their way out. */
  get size() {
    let count = 0;
    for (const vehicle of this.vehicles.values()) if (!vehicle.leftAt) count++;
    return count;
  }

  get(id) {
    return this.vehicles.get(id);
  }

  /** One message of the server; `now` is performance.now(), `wallMs` Date.now(). */
  apply(batch, now, wallMs = Date.now()) {
    this.#observeClock(batch.time_ms, wallMs);
    const serverMs = this.serverTime(wallMs);
    const kept = batch.reset ? new Set() : null;
    if (kept) this.newestMs = 0;
    for (const data of batch.vehicles) {
      kept?.add(data.id);
      this.#put(data, now, serverMs - data.time_ms);
    }
    for (const id of batch.left) this.vehicles.get(id)?.leave(now);
    if (kept) for (const vehicle of this.vehicles.values()) if (!kept.has(vehicle.id)) vehicle.leave(now);
    if (this.vehicles.size > LIMIT) this.#shrink();
  }

  #put(data, now, lagMs) {
    this.heardAt = now;
    if (data.time_ms > this.newestMs && lagMs > -FUTURE_MS) {
      this.newestMs = data.time_ms;
      this.newestAt = now;
    }
    const known = this.vehicles.get(data.id);
    if (known) known.update(data, now, lagMs);
    else this.vehicles.set(data.id, new Vehicle(data, now, lagMs));
  }

  #shrink() {
    const silent = [...this.vehicles.values()].sort((a, b) => a.cameAt - b.cameAt);
    for (const vehicle of silent.slice(0, this.vehicles.size - LIMIT)) this.vehicles.delete(vehicle.id);
  }

  /** The server's clock as this page sees it: the fastest of the last messages tells most. */
  serverTime(wallMs = Date.now()) {
    return wallMs + (this.#offsets.length ? Math.max(...this.#offsets) : 0);
  }

  #observeClock(timeMs, wallMs) {
    if (!timeMs) return;
    this.#offsets.push(timeMs - wallMs);
    if (this.#offsets.length > CLOCK_SAMPLES) this.#offsets.shift();
  }

  /** Age of the newest position in ms, or null without any. */
  ageMs(wallMs = Date.now()) {
    return this.newestMs ? Math.max(0, this.serverTime(wallMs) - this.newestMs) : null;
  }

  /** The clock of the positions: of today in a live feed, of the past in a recording that is played again. */
  feedTime(now = performance.now()) {
    return this.newestMs ? this.newestMs + Math.max(0, now - this.newestAt) : this.serverTime();
  }

  advance(now) {
    for (const vehicle of this.vehicles.values()) {
      if (vehicle.isGone(now)) this.vehicles.delete(vehicle.id);
      else vehicle.advance(now);
    }
  }
}
