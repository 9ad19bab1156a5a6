/**
 * One vehicle and where it is drawn. Between positions it moves on with its last speed and heading; when a position comes, what is drawn
 * goes over to it within BLEND_MS, so that nothing jumps. A difference too large to be driven is taken at once, faded in.
 */
import { FLAG } from './wire.mjs';
import { mercatorX, mercatorY, metreAt } from './geo.mjs';

const BLEND_MS = 950;
const LAG_LIMIT_MS = 2000; // a position older than this is not carried forward any further
const AHEAD_MS = 1400; // full speed for so long after a position came, then the vehicle rolls out
const ROLL_OUT_MS = 900;
const FADE_MS = 350;
const JUMP_M = 400;
const ANEW_MS = 60_000; // a position so much older is no late one: the feed begins anew, as a recording does
const RADIANS = Math.PI / 180;

/** With reduced motion vehicles stay where their last position was. */
export const motion = { still: false };

const smooth = (t) => (t <= 0 ? 0 : t >= 1 ? 1 : t * t * (3 - 2 * t));
const shortestTurn = (angle) => ((angle % 360) + 540) % 360 - 180;

export class Vehicle {
  /** As drawn: set by advance(). */
  x = 0;
  y = 0;
  heading = 0;
  alpha = 0;
  leftAt = 0;

  constructor(data, now, lagMs) {
    this.data = data;
    this.bornAt = now;
    this.errorX = this.errorY = this.errorHeading = 0;
    this.#anchor(data, now, lagMs);
    this.advance(now);
  }

  get id() {
    return this.data.id;
  }

  get latitude() {
    return this.data.lat / 1e6;
  }

  get longitude() {
    return this.data.lon / 1e6;
  }

  get doorsOpen() {
    return (this.data.flags & FLAG.DOORS_OPEN) !== 0;
  }

  /** A new position. */
  update(data, now, lagMs) {
    this.leftAt = 0;
    const earlierMs = this.data.time_ms - data.time_ms;
    if (earlierMs > 0 && earlierMs < ANEW_MS) return;
    this.advance(now);
    const { x, y, heading } = this;
    this.data = data;
    this.#anchor(data, now, lagMs);
    this.errorX = this.errorY = this.errorHeading = 0;
    this.advance(now);
    const [dx, dy] = [x - this.x, y - this.y];
    if (Math.hypot(dx, dy) > (JUMP_M + (data.speed / 100) * 5) * metreAt(data.lat / 1e6)) {
      this.bornAt = now;
    } else {
      this.errorX = dx;
      this.errorY = dy;
      this.errorHeading = shortestTurn(heading - this.heading);
    }
    this.advance(now);
  }

  /** Computes x, y, heading and alpha for this moment. */
  advance(now) {
    const t = now - this.cameAt;
    const reach = motion.still ? 0 : this.lagMs + Math.min(t, AHEAD_MS) + rollOut(t - AHEAD_MS);
    const left = motion.still ? 0 : 1 - smooth(t / BLEND_MS);
    this.x = this.baseX + this.velocityX * reach + this.errorX * left;
    this.y = this.baseY + this.velocityY * reach + this.errorY * left;
    this.heading = this.data.heading + this.errorHeading * left;
    this.alpha = smooth((now - this.bornAt) / FADE_MS) * (this.leftAt ? 1 - smooth((now - this.leftAt) / FADE_MS) : 1);
  }

  leave(now) {
    this.leftAt ||= now;
  }

  isGone(now) {
    return this.leftAt > 0 && now - this.leftAt > FADE_MS;
  }

  #anchor(data, now, lagMs) {
    this.cameAt = now;
    this.lagMs = Math.min(Math.max(lagMs, 0), LAG_LIMIT_MS);
    this.baseX = mercatorX(data.lon / 1e6);
    this.baseY = mercatorY(data.lat / 1e6);
    const fixed = (data.flags & (FLAG.NO_FIX | FLAG.DOORS_OPEN)) === 0;
    const speed = fixed ? (data.speed / 100_000) * metreAt(data.lat / 1e6) : 0; // map units a millisecond
    this.velocityX = Math.sin(data.heading * RADIANS) * speed;
    this.velocityY = -Math.cos(data.heading * RADIANS) * speed;
  }
}

const rollOut = (t) => (t <= 0 ? 0 : ROLL_OUT_MS * (1 - Math.exp(-t / ROLL_OUT_MS)));
