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
import { Connection } from './connection.mjs';
import { Subscription } from './subscription.mjs';
import { CrierError, TYPE, decode, encode } from './wire.mjs';

export { Backoff, CrierError, Subscription, TYPE };

function errorOf({ code, message, temporary }) {
  return new CrierError(code, message, temporary);
}

/** Events: those of Connection; `message` is {type, payload, id}. */
export class CrierClient extends Connection {
  #wire;
  #nextId = 1;

  /**
   * @param {string | (() => string)} url
   * @param {object} [options] those of Connection, and
   * @param {{encode: Function, decode: Function, binaryType?: string}} [options.wire] another form than text
   */
  constructor(url, { wire = { encode, decode }, ...options } = {}) {
    super(url, { binaryType: wire.binaryType, ...options });
    this.#wire = wire;
  }

  /**
   * Sends a message and waits for its answer: the payload of a reply, or what `ok` holds, e.g. {partition, offset}.
   * Rejects with CrierError. An `id` of your own makes a repeated publish recognisable to the server.
   */
  async request(type, payload, { id = `r${this.#nextId++}`, timeoutMs } = {}) {
    if (!this.isOpen) throw new CrierError(0, 'not connected', true);
    if (this.isUnderWay(id)) throw new CrierError(107, `request ${id} is under way`);
    return this.call(id, this.#wire.encode(type, payload, id), timeoutMs);
  }

  /** Sends a message without asking for an answer; false when there is no connection. */
  send(type, payload) {
    if (!this.isOpen) return false;
    this.transmit(this.#wire.encode(type, payload));
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

  onSocket() {
    this.opened();
  }

  onData(data) {
    const message = this.#wire.decode(data);
    if (!message) return;
    const subscription = this.subscription(message.channel);
    if (message.id !== undefined && this.#settle(message)) {
      if (message.type === TYPE.SUBSCRIBED) subscription?.onMessage(message);
    } else if (message.type === TYPE.ERROR) {
      this.emit('error', errorOf(message.payload.error));
    } else if (subscription) {
      subscription.onMessage(message);
    } else {
      this.emit('message', message);
    }
  }

  probe(timeoutMs) {
    return this.request(TYPE.PING, {}, { timeoutMs });
  }

  sendSubscribe(subscription, request) {
    return this.request(TYPE.SUBSCRIBE, request);
  }

  sendUnsubscribe(channel) {
    return this.request(TYPE.UNSUBSCRIBE, { channel });
  }

  /** Answers the request that the message belongs to; false when there is none. */
  #settle({ type, id, payload }) {
    if (type === TYPE.ERROR) return this.answer(id, errorOf(payload.error));
    return this.answer(id, type === TYPE.OK ? (payload.ok ?? {}) : payload);
  }
}
