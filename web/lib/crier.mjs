/**
 * Client for crier's typed wire (/ws). Plain ES module, no dependencies; browsers, and Node with `ws`:
 *
 *     import { CrierClient } from '/lib/crier.mjs';
 *     const client = new CrierClient('ws://127.0.0.1:8800/ws');          // Node: {WebSocket: (await import('ws')).default}
 *     const lobby = client.subscribe('chat:lobby', { history: 50 });
 *     lobby.addEventListener('publication', (e) => console.log(e.detail.payload.message));
 *     client.connect();
 *     const { offset } = await client.request(1, { message: 'hello', room: 'lobby' });   // stored at this offset
 *
 * It reconnects by itself, with full-jitter back-off, and resumes every subscription after the last publication seen.
 */
import { Backoff } from './backoff.mjs';
import { Subscription } from './subscription.mjs';
import { CrierError, TYPE, decode, encode } from './wire.mjs';

export { Backoff, CrierError, Subscription, TYPE };

const CONNECT_TIMEOUT_MS = 10_000;

/** Close codes that mean "do not come back": 3500-3999 of the server, 4500-4999 of applications. */
function isFinal(code) {
  return (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

/**
 * Events (CustomEvent, data in `detail`):
 * - `state`   {state, delayMs, code, reason}: idle, connecting, open, waiting (for `delayMs`), closed (for good)
 * - `message` {type, payload, id}: what no request and no subscription asked for
 * - `error`   CrierError: the server refused something that had no id
 */
export class CrierClient extends EventTarget {
  #url;
  #options;
  #backoff;
  #socket = null;
  #timer = null;
  #pingTimer = null;
  #stableTimer = null;
  #lastHeard = 0;
  #nextId = 1;
  #pending = new Map();
  #subscriptions = new Map();

  /**
   * @param {string | (() => string)} url a function is called for each attempt, e.g. for a new token
   * @param {object} [options]
   * @param {typeof WebSocket} [options.WebSocket] Node: the class of the package `ws`
   * @param {string[]} [options.protocols]
   * @param {{encode: Function, decode: Function, binaryType?: string}} [options.wire] another form than text
   * @param {number} [options.timeoutMs] a request without answer for so long fails with code 120, "unknown"
   * @param {number} [options.pingMs] silence after which the server is asked for a sign of life
   * @param {number} [options.pongMs] how long it may take to give it
   * @param {number} [options.stableMs] a connection this old makes the back-off start anew
   * @param {Backoff} [options.backoff]
   */
  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = {
      WebSocket: globalThis.WebSocket,
      wire: { encode, decode },
      timeoutMs: 15_000,
      pingMs: 25_000,
      pongMs: 10_000,
      stableMs: 60_000,
      ...options,
    };
    this.#backoff = options.backoff ?? new Backoff();
    this.state = 'idle';
  }

  get isOpen() {
    return this.state === 'open';
  }

  /** Connects, and stays connected until close(). While waiting: tries now. */
  connect() {
    if (this.state === 'connecting' || this.state === 'open') return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /** Ends the connection for good. Requests in flight fail as disconnected. */
  close(code = 1000, reason = '') {
    clearTimeout(this.#timer);
    this.#leave(code, reason);
    this.#setState('closed', { code, reason });
  }

  /** Ends the connection and opens a new one at once, e.g. because the URL changed. Subscriptions resume. */
  reconnect() {
    clearTimeout(this.#timer);
    this.#leave(1000, 'reconnect');
    this.#open();
  }

  /**
   * Sends a message and waits for its answer: the payload of a reply, or what `ok` holds, e.g. {partition, offset}.
   * Rejects with CrierError. An `id` of your own makes a repeated publish recognisable to the server.
   */
  request(type, payload, { id = `r${this.#nextId++}`, timeoutMs = this.#options.timeoutMs } = {}) {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(new CrierError(0, 'not connected', true));
      if (this.#pending.has(id)) return reject(new CrierError(107, `request ${id} is under way`));
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new CrierError(120, 'no answer in time: the outcome is unknown', true));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(this.#options.wire.encode(type, payload, id));
    });
  }

  /** Sends a message without asking for an answer; false when there is no connection. */
  send(type, payload) {
    if (!this.isOpen) return false;
    this.#socket.send(this.#options.wire.encode(type, payload));
    return true;
  }

  /** Publishes where the namespace lets clients publish; resolves to the position once the broker has it. */
  publish(channel, data, { key, id, timeoutMs } = {}) {
    return this.request(TYPE.PUBLISH, key === undefined ? { channel, data } : { channel, key, data }, { id, timeoutMs });
  }

  /** Who is subscribed: [{session, user, name?}]. */
  async presence(channel) {
    return (await this.request(TYPE.PRESENCE, { channel })).presence;
  }

  /** The subscription of a channel, made on the first call. Options: {history, epoch, offset}. */
  subscribe(channel, options) {
    let subscription = this.#subscriptions.get(channel);
    if (!subscription) {
      const link = { isOpen: () => this.isOpen, request: (type, payload) => this.request(type, payload) };
      subscription = new Subscription(link, channel, options);
      this.#subscriptions.set(channel, subscription);
      if (this.isOpen) subscription.onOpen();
    }
    return subscription;
  }

  unsubscribe(channel) {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return;
    this.#subscriptions.delete(channel);
    subscription.close();
    if (this.isOpen) this.request(TYPE.UNSUBSCRIBE, { channel }).catch(() => {});
  }

  #open() {
    const socket = new this.#options.WebSocket(typeof this.#url === 'function' ? this.#url() : this.#url, this.#options.protocols ?? []);
    socket.binaryType = this.#options.wire.binaryType ?? socket.binaryType;
    this.#socket = socket;
    const mine = (handle) => (event) => this.#socket === socket && handle(event);
    socket.addEventListener('open', mine(() => this.#onOpen()));
    socket.addEventListener('message', mine((event) => this.#onMessage(event.data)));
    socket.addEventListener('close', mine((event) => this.#onLost(event.code, event.reason)));
    socket.addEventListener('error', () => {}); // `close` follows and says what there is to know
    this.#timer = setTimeout(() => this.#onLost(1006, 'no connection in time'), CONNECT_TIMEOUT_MS);
    this.#setState('connecting');
  }

  #onOpen() {
    clearTimeout(this.#timer);
    this.#stableTimer = setTimeout(() => this.#backoff.reset(), this.#options.stableMs);
    this.#lastHeard = Date.now();
    this.#schedulePing();
    this.#setState('open');
    for (const subscription of this.#subscriptions.values()) subscription.onOpen();
  }

  #onMessage(data) {
    this.#lastHeard = Date.now();
    const message = this.#options.wire.decode(data);
    if (!message) return;
    const subscription = this.#subscriptions.get(message.channel);
    if (message.id !== undefined && this.#settle(message)) {
      if (message.type === TYPE.SUBSCRIBED) subscription?.onMessage(message);
    } else if (message.type === TYPE.ERROR) {
      const { code, message: text, temporary } = message.payload.error;
      this.#emit('error', new CrierError(code, text, temporary));
    } else if (subscription) {
      subscription.onMessage(message);
    } else {
      this.#emit('message', message);
    }
  }

  /** Answers the request that `message` belongs to; false when there is none. */
  #settle({ type, id, payload }) {
    const request = this.#pending.get(id);
    if (!request) return false;
    this.#pending.delete(id);
    clearTimeout(request.timer);
    if (type === TYPE.ERROR) {
      const { code, message, temporary } = payload.error;
      request.reject(new CrierError(code, message, temporary));
    } else {
      request.resolve(type === TYPE.OK ? (payload.ok ?? {}) : payload);
    }
    return true;
  }

  #schedulePing() {
    const { pingMs } = this.#options;
    const quietMs = Date.now() - this.#lastHeard;
    this.#pingTimer = setTimeout(() => this.#ping(), Math.max(pingMs - quietMs, 1));
    this.#pingTimer.unref?.();
  }

  /** Browsers do not show WebSocket pings to pages, so a dead line has to be found by asking. */
  async #ping() {
    const socket = this.#socket;
    if (Date.now() - this.#lastHeard >= this.#options.pingMs) {
      const asked = Date.now();
      await this.request(TYPE.PING, {}, { timeoutMs: this.#options.pongMs }).catch(() => {});
      if (this.#socket !== socket) return;
      if (this.#lastHeard < asked) return this.#onLost(1006, 'the server does not answer');
    }
    this.#schedulePing();
  }

  /** Lets go of the socket; nothing it still says is heard. */
  #leave(code, reason) {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of [this.#timer, this.#pingTimer, this.#stableTimer]) clearTimeout(timer);
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new CrierError(0, 'the connection was lost before the answer', true));
    }
    this.#pending.clear();
    for (const subscription of this.#subscriptions.values()) subscription.onClose();
    socket?.close(code, reason);
  }

  #onLost(code, reason) {
    this.#leave(1000, '');
    if (isFinal(code)) return this.#setState('closed', { code, reason });
    const delayMs = this.#backoff.next();
    this.#timer = setTimeout(() => this.#open(), delayMs);
    this.#setState('waiting', { delayMs, code, reason });
  }

  #setState(state, detail = {}) {
    this.state = state;
    this.#emit('state', { state, ...detail });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
