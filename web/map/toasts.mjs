/** Short notes at the edge of the map, and the live region that reads things out. Both are bounded: a flood becomes a number. */
import { h } from '/lib/dom.mjs';

const SHOWN_MS = 6000;
const AT_ONCE = 3;
const PAUSE_MS = 700;
const SPOKEN_PAUSE_MS = 4000;

export class Toasts {
  #box;
  #last = 0;
  #skipped = 0;
  #more = null;

  constructor(box) {
    this.#box = box;
  }

  /** kind: enter, exit, problem. */
  show(kind, text, onClick = null) {
    const now = performance.now();
    if (kind !== 'problem' && (this.#box.childElementCount >= AT_ONCE || now - this.#last < PAUSE_MS)) return this.#skip();
    this.#last = now;
    const content = onClick ? h('button', { type: 'button', class: 'link', onclick: onClick }, text) : text;
    const toast = h('li', { class: `toast ${kind}` }, h('span', { class: 'mark', 'aria-hidden': 'true' }), h('span', {}, content));
    this.#box.prepend(toast);
    this.#expire(toast);
  }

  #skip() {
    this.#skipped++;
    if (!this.#more) {
      this.#more = h('li', { class: 'toast more' });
      this.#box.append(this.#more);
      this.#expire(this.#more, () => {
        this.#more = null;
        this.#skipped = 0;
      });
    }
    this.#more.textContent = `and ${this.#skipped} more`;
  }

  #expire(toast, onGone = () => {}) {
    setTimeout(() => {
      toast.remove();
      onGone();
    }, SHOWN_MS);
  }
}

/** Says at most one thing every few seconds; what is newer replaces what waits. */
export class Announcer {
  #region;
  #waiting = null;
  #timer = null;

  constructor(region) {
    this.#region = region;
  }

  say(text) {
    this.#waiting = text;
    if (this.#timer === null) this.#speak();
  }

  #speak() {
    this.#region.textContent = this.#waiting;
    this.#waiting = null;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#waiting !== null) this.#speak();
    }, SPOKEN_PAUSE_MS);
  }
}
