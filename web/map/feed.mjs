/**
 * The connection to the server: says what is looked at, gives what the server sends.
 *
 * Events (CustomEvent): `state` {state, delayMs, reason}, `batch` Batch, `notification` Notification, `problem` {message}
 */
import { CrierClient } from '/lib/crier.mjs';
import { widen } from './geo.mjs';
import { TYPE, binaryWire } from './wire.mjs';

const FIRST_MS = 500;
const INTERVAL_MS = 1000;
const MARGIN = 0.1;

function socketUrl() {
  const url = new URL('/ws?codec=protobuf&format=binary', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

export class Feed extends EventTarget {
  #view;
  #timer = null;
  #sentAt = -Infinity;
  #sent = '';

  /** @param {() => {box: object, modes: string[], lines: string[], operators: string[]}} view what is looked at now */
  constructor(view) {
    super();
    this.#view = view;
    this.client = new CrierClient(socketUrl, { wire: binaryWire });
    this.client.addEventListener('state', ({ detail }) => this.#onState(detail));
    this.client.addEventListener('message', ({ detail }) => this.#onMessage(detail));
    this.client.addEventListener('error', ({ detail }) => this.#emit('problem', { message: detail.message }));
  }

  get isOpen() {
    return this.client.isOpen;
  }

  /** Connects, and tells the first view half a second later: until then the map is still finding its place. */
  start() {
    this.client.connect();
    this.#sentAt = performance.now() + FIRST_MS - INTERVAL_MS;
  }

  /** The view has changed: it is told at once, but at most once a second. */
  look() {
    if (this.#timer !== null || !this.isOpen) return;
    this.#timer = setTimeout(() => this.#send(), Math.max(0, this.#sentAt + INTERVAL_MS - performance.now()));
  }

  #send() {
    this.#timer = null;
    const { box, modes, lines, operators } = this.#view();
    const { west, south, east, north } = widen(box, MARGIN);
    const viewport = {
      southWest: { longitude: west, latitude: south },
      northEast: { longitude: east, latitude: north },
      modes,
      lines,
      operators,
      form: 'vehicles',
      notify: true,
    };
    const text = JSON.stringify(viewport);
    if (text === this.#sent || !this.client.send(TYPE.VIEWPORT, viewport)) return;
    this.#sent = text;
    this.#sentAt = performance.now();
  }

  #onState(detail) {
    this.#sent = '';
    clearTimeout(this.#timer);
    this.#timer = null;
    if (detail.state === 'open') this.look();
    this.#emit('state', detail);
  }

  #onMessage({ type, payload }) {
    if (type === TYPE.VEHICLES) this.#emit('batch', payload);
    else if (type === TYPE.NOTIFICATION) this.#emit('notification', payload);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
