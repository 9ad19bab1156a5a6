/**
 * The time slider: live, or a moment of the last minutes that runs on at a chosen speed. Event: `change` when it goes live or leaves it.
 */
import { timeText } from './describe.mjs';

const REACH_S = 600;
const LIVE_S = 2; // this close to now there is nothing to replay
const TEXT_MS = 250;

export class Timeline extends EventTarget {
  /** The moment that is shown, in the feed's time; null while live. */
  timeMs = null;
  speed = 1;
  playing = true;
  #last = 0;
  #feedTime;
  #note;
  #dragged = false;

  /** Elements: range, play, live, speed, text. `feedTime` gives the clock of the positions, `note` what is wrong with the past. */
  constructor(elements, feedTime, note) {
    super();
    this.elements = elements;
    this.#feedTime = feedTime;
    this.#note = note;
    const { range, play, live, speed } = elements;
    Object.assign(range, { min: -REACH_S, max: 0, step: 1, value: 0 });
    range.addEventListener('pointerdown', () => { this.#dragged = true; });
    for (const name of ['pointerup', 'pointercancel']) range.addEventListener(name, () => { this.#dragged = false; });
    range.addEventListener('input', () => this.#seek(Number(range.value)));
    play.addEventListener('click', () => this.#setPlaying(!this.playing));
    live.addEventListener('click', () => this.goLive());
    speed.addEventListener('change', () => { this.speed = Number(speed.value); });
    setInterval(() => this.#show(), TEXT_MS);
    this.#show();
  }

  get isLive() {
    return this.timeMs === null;
  }

  goLive() {
    if (this.isLive) return;
    this.timeMs = null;
    this.#setPlaying(true);
    this.#show();
    this.dispatchEvent(new Event('change'));
  }

  /** The moment to show at this frame. */
  advance(now) {
    const passed = Math.min(now - this.#last, 250); // a hidden page stands still
    this.#last = now;
    if (this.playing && !this.#dragged) this.timeMs += passed * this.speed;
    const feedMs = this.#feedTime();
    this.timeMs = Math.max(this.timeMs, feedMs - REACH_S * 1000);
    if (this.timeMs > feedMs - (LIVE_S / 2) * 1000) this.goLive();
    return this.timeMs ?? feedMs;
  }

  #seek(offsetS) {
    if (offsetS > -LIVE_S) return this.goLive();
    const wasLive = this.isLive;
    this.timeMs = this.#feedTime() + offsetS * 1000;
    this.#show();
    if (wasLive) this.dispatchEvent(new Event('change'));
  }

  #setPlaying(playing) {
    this.playing = playing;
    this.#show();
  }

  #show() {
    const { range, play, live, speed, text } = this.elements;
    const agoS = this.isLive ? 0 : Math.max(0, Math.round((this.#feedTime() - this.timeMs) / 1000));
    if (!this.#dragged) range.value = -agoS;
    const words = this.isLive ? 'now' : `${Math.floor(agoS / 60)} min ${agoS % 60} s ago`;
    range.setAttribute('aria-valuetext', this.isLive ? 'live' : words);
    range.style.setProperty('--played', `${((Number(range.value) + REACH_S) / REACH_S) * 100}%`);
    play.disabled = speed.disabled = this.isLive;
    play.setAttribute('aria-label', this.playing ? 'Pause' : 'Play');
    play.textContent = this.playing ? '❚❚' : '▶';
    live.setAttribute('aria-pressed', String(this.isLive));
    const clock = this.isLive ? timeText(this.#feedTime()) : `${timeText(this.timeMs)}`;
    text.textContent = this.isLive ? clock : `${clock} · ${this.#note() || words}`;
  }
}
