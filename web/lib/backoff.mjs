/**
 * Full-jitter exponential back-off: a random time between 0 and min(cap, base * 2^n), so that thousands of clients that
 * lost one server do not come back in the same moment.
 */
export class Backoff {
  #attempt = 0;

  /** @param {{baseMs?: number, capMs?: number, random?: () => number}} [options] */
  constructor({ baseMs = 500, capMs = 30_000, random = Math.random } = {}) {
    this.baseMs = baseMs;
    this.capMs = capMs;
    this.random = random;
  }

  /** How often next() was called since the last reset. */
  get attempt() {
    return this.#attempt;
  }

  /** Milliseconds to wait before the next attempt. */
  next() {
    const ceiling = Math.min(this.capMs, this.baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.round(this.random() * ceiling);
  }

  reset() {
    this.#attempt = 0;
  }
}
