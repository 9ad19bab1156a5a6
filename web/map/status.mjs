/** The state of the connection in words, and how old the newest position is. */
import { ageText, timeText } from './describe.mjs';

const TEXT = { idle: 'Not connected', connecting: 'Connecting …', open: 'Live', waiting: 'Connection lost', closed: 'The server ended the connection' };
const TICK_MS = 500;
const SILENT_MS = 10_000;
const RECORDED_MS = 86_400_000; // positions so old are those of a recording

export class Status {
  #state = 'connecting';
  #retryAt = 0;
  #read;

  /** Elements: root, text, count, lag, tryNow. `read` gives {ageMs, silentMs, count, replayMs}. */
  constructor(client, elements, read) {
    this.elements = elements;
    this.#read = read;
    client.addEventListener('state', ({ detail }) => this.#onState(detail));
    elements.tryNow.addEventListener('click', () => client.connect());
    setInterval(() => this.tick(), TICK_MS);
  }

  #onState({ state, delayMs = 0 }) {
    if (state === 'connecting' && this.#state === 'waiting') return; // one attempt of many
    this.#state = state;
    this.#retryAt = performance.now() + delayMs;
    this.elements.tryNow.hidden = state !== 'waiting' && state !== 'closed';
    this.tick();
  }

  tick() {
    const { root, text, count: counter, lag } = this.elements;
    const { ageMs, silentMs, count, replayMs } = this.#read();
    const replayed = this.#state === 'open' && replayMs !== null;
    const quiet = this.#state === 'open' && !replayed && silentMs > SILENT_MS;
    root.dataset.state = replayed ? 'replay' : quiet ? 'quiet' : this.#state;
    const words = replayed ? 'Replay' : quiet ? 'Connected, no new positions' : TEXT[this.#state];
    if (text.textContent !== words) text.textContent = words;
    counter.textContent = this.#state === 'open' && !replayed ? `· ${count} ${count === 1 ? 'vehicle' : 'vehicles'}` : '';
    root.classList.toggle('ages', this.#state === 'open' && !replayed && ageMs !== null && ageMs < RECORDED_MS);
    lag.textContent = this.#detail({ ageMs, replayMs: replayed ? replayMs : null });
  }

  #detail({ ageMs, replayMs }) {
    if (this.#state === 'waiting') return `· next try in ${Math.max(1, Math.ceil((this.#retryAt - performance.now()) / 1000))} s`;
    if (this.#state !== 'open') return '';
    if (replayMs !== null) return `· ${timeText(replayMs)}`;
    if (ageMs === null) return '';
    return ageMs < RECORDED_MS ? `· ${ageText(ageMs)}` : `· recorded ${ageText(ageMs)} ago`;
  }
}
