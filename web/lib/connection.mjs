import { Backoff } from './backoff.mjs';
import { Subscription } from './subscription.mjs';
import { CrierError } from './wire.mjs';

const CONNECT_TIMEOUT_MS = 10_000;

/** Close codes that mean "do not come back": 3500-3999 of the server, 4500-4999 of applications. */
function isFinal(code) {
  return (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

/**
 * A WebSocket that stays connected, with full-jitter back-off, and what hangs on it: subscriptions, requests under way.
 * CrierClient (crier.mjs) and ChannelsClient (channels.mjs) each add a wire to it:
 *
 * - onSocket()       the socket is there; opened() says that the session is
 * - onData(data)     a message of the server
 * - probe(timeoutMs) asks the server for any sign of life
 * - sendSubscribe(subscription, request), sendUnsubscribe(channel)
 *
 * Events (CustomEvent, data in `detail`):
 * - `state`   {state, delayMs, code, reason}: idle, connecting, open, waiting (for `delayMs`), closed (for good)
 * - `message`: what no request and no subscription asked for
 * - `error`   CrierError: the server refused something that had no id
 */
export class Connection extends EventTarget {
  #url;
  #options;
  #backoff;
  #socket = null;
  #timer = null;
  #pingTimer = null;
  #stableTimer = null;
  #lastHeard = 0;
  #pending = new Map();
  #subscriptions = new Map();

  /**
   * @param {string | (() => string)} url a function is called for each attempt, e.g. for a new token
   * @param {object} [options]
   * @param {typeof WebSocket} [options.WebSocket] Node: the class of the package `ws`
   * @param {string[]} [options.protocols]
   * @param {string} [options.binaryType]
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

  /** Cuts the connection as a bad line would: it comes back after the back-off, and subscriptions resume. */
  cut(reason = 'cut') {
    if (this.#socket) this.#onLost(1006, reason);
  }

  /** The subscription of a channel, made on the first call. Options: those of Subscription. */
  subscribe(channel, options) {
    let subscription = this.#subscriptions.get(channel);
    if (!subscription) {
      const link = { isOpen: () => this.isOpen, subscribe: (request) => this.sendSubscribe(subscription, request) };
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
    if (this.isOpen) this.sendUnsubscribe(channel).catch(() => {});
  }

  /* ---- for the wires ---- */

  subscription(channel) {
    return this.#subscriptions.get(channel);
  }

  transmit(data) {
    this.#socket.send(data);
  }

  /** Sends a request and waits for answer(id). */
  call(id, data, timeoutMs = this.#options.timeoutMs) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new CrierError(120, 'no answer in time: the outcome is unknown', true));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.transmit(data);
    });
  }

  isUnderWay(id) {
    return this.#pending.has(id);
  }

  /** Ends the request with a value or a CrierError; false when there is none. */
  answer(id, value) {
    const request = this.#pending.get(id);
    if (!request) return false;
    this.#pending.delete(id);
    clearTimeout(request.timer);
    if (value instanceof CrierError) request.reject(value);
    else request.resolve(value);
    return true;
  }

  /** The session is there: requests may be sent. */
  opened() {
    clearTimeout(this.#timer);
    this.#stableTimer = setTimeout(() => this.#backoff.reset(), this.#options.stableMs);
    this.#schedulePing();
    this.#setState('open');
    for (const subscription of this.#subscriptions.values()) subscription.onOpen();
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /* ---- the socket ---- */

  #open() {
    const socket = new this.#options.WebSocket(typeof this.#url === 'function' ? this.#url() : this.#url, this.#options.protocols ?? []);
    socket.binaryType = this.#options.binaryType ?? socket.binaryType;
    this.#socket = socket;
    const mine = (handle) => (event) => this.#socket === socket && handle(event);
    socket.addEventListener('open', mine(() => this.onSocket()));
    socket.addEventListener('message', mine((event) => this.#onMessage(event.data)));
    socket.addEventListener('close', mine((event) => this.#onLost(event.code, event.reason)));
    socket.addEventListener('error', () => {}); // `close` follows and says what there is to know
    this.#timer = setTimeout(() => this.#onLost(1006, 'no connection in time'), CONNECT_TIMEOUT_MS);
    this.#lastHeard = Date.now();
    this.#setState('connecting');
  }

  #onMessage(data) {
    this.#lastHeard = Date.now();
    this.onData(data);
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
      await this.probe(this.#options.pongMs).catch(() => {});
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
    this.emit('state', { state, ...detail });
  }
}
