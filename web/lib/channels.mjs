/**
 * Client for crier's channels wire (/connection/websocket, docs/channels-wire.md) in JSON. Plain ES module, no
 * dependencies; subscriptions and events are those of crier.mjs, so that a page can use either wire:
 *
 *     import { ChannelsClient } from '/lib/channels.mjs';
 *     const client = new ChannelsClient('ws://127.0.0.1:8800/connection/websocket');
 *     const lobby = client.subscribe('chat:lobby', { history: 50 });
 *     lobby.addEventListener('publication', (e) => console.log(e.detail.offset, e.detail.payload));
 *     const prices = client.subscribe('prices:all', { map: true });   // a table: publications with key and removed
 *     client.connect();
 *
 * What it leaves to the `centrifuge` library: protobuf, streams over HTTP, deltas, refreshing a token while connected.
 */
import { Connection } from './connection.mjs';
import { mapSubscribe, streamSubscribe } from './channels_subscribe.mjs';
import { CrierError, TYPE } from './wire.mjs';

export { CrierError };

const TOKEN_EXPIRED = 109;
const INVALID_TOKEN = 3500; // final, as the server's own

/** As the typed wire tells of somebody. */
const memberOf = ({ client, user, conn_info: info }) => ({ session: client, user, name: info?.name, info });

/** Events: those of Connection; `message` is what a module sends, or {channel, push} of a channel that the server chose. */
export class ChannelsClient extends Connection {
  #token;
  #refused = null; // the last one that was over
  #name;
  #nextId = 1;
  #attempt = 0;
  #held = new Map(); // subscription -> messages behind the answer of its subscribe

  /**
   * @param {string | (() => string)} url
   * @param {object} [options] those of Connection, and
   * @param {string | (() => string | Promise<string>)} [options.token] a function is asked at each connect
   * @param {string} [options.name] of the program, for the server's log
   */
  constructor(url, { token = '', name = 'crier-web', ...options } = {}) {
    super(url, options);
    this.#token = token;
    this.#name = name;
    /** What the server said of the connection: {client, version, expires, ttl, subs}. */
    this.session = null;
  }

  /** Sends a command, resolves with its result; rejects with CrierError. */
  async request(method, params, { timeoutMs } = {}) {
    if (!this.isOpen) throw new CrierError(0, 'not connected', true);
    return this.#command(method, params, timeoutMs);
  }

  /** Resolves once the broker has it. With a key: sets it in the channel's map. */
  publish(channel, data, { key, timeoutMs } = {}) {
    return this.request('publish', key === undefined ? { channel, data } : { channel, data, type: 1, key }, { timeoutMs });
  }

  /** Removes a key of the channel's map. */
  remove(channel, key) {
    return this.request('publish', { channel, type: 1, key, removed: true });
  }

  /** The answer of the module's handler of that name. */
  async rpc(method, data, options) {
    return (await this.request('rpc', { method, data }, options)).data;
  }

  /** Who is subscribed: [{session, user, name?, info?}]. */
  async presence(channel) {
    return Object.values((await this.request('presence', { channel })).presence).map(memberOf);
  }

  /** {publications, epoch, offset}; options {limit, since: {offset, epoch}, reverse}. */
  history(channel, options = {}) {
    return this.request('history', { channel, ...options });
  }

  async onSocket() {
    const attempt = ++this.#attempt;
    let token;
    try {
      token = typeof this.#token === 'function' ? await this.#token() : this.#token;
      if (attempt !== this.#attempt || this.state !== 'connecting') return;
      this.session = await this.#command('connect', { ...(token && { token }), name: this.#name });
      this.opened();
    } catch (error) {
      if (error.disconnected) return;
      const again = error.temporary || (error.code === TOKEN_EXPIRED && token !== this.#refused);
      this.#refused = token;
      if (again) this.cut(error.message);
      else this.close(INVALID_TOKEN, error.message);
    }
  }

  onData(data) {
    for (const line of String(data).split('\n')) {
      const reply = parse(line);
      if (!reply) continue;
      if (reply.push) this.#onPush(reply.push);
      else if (reply.id === undefined) this.#onPing();
      else this.#onReply(reply);
    }
  }

  probe(timeoutMs) {
    return this.#command('ping', {}, timeoutMs);
  }

  /** Pushes that come before the subscription has been told its answer wait for it. */
  async sendSubscribe(subscription, asked) {
    this.#held.set(subscription, []);
    try {
      const answer = await (subscription.map ? mapSubscribe : streamSubscribe)(this, subscription, asked);
      subscription.onMessage({ type: TYPE.SUBSCRIBED, payload: { ...answer, publications: answer.items.length } });
      for (const item of answer.items) subscription.onMessage(publicationOf(item));
      for (const message of this.#held.get(subscription)) subscription.onMessage(message);
    } finally {
      this.#held.delete(subscription);
    }
  }

  sendUnsubscribe(channel) {
    return this.request('unsubscribe', { channel });
  }

  #command(method, params, timeoutMs) {
    const id = this.#nextId++;
    return this.call(id, JSON.stringify({ id, [method]: params }), timeoutMs);
  }

  #onReply({ id, error, ...result }) {
    if (error) this.answer(id, new CrierError(error.code, error.message, error.temporary));
    else this.answer(id, Object.values(result)[0] ?? {});
  }

  #onPing() {
    if (this.session?.pong) this.transmit('{}');
  }

  #onPush(push) {
    const subscription = this.subscription(push.channel);
    const message = messageOf(push);
    if (!subscription || !message) return this.emit('message', push.message?.data ?? push);
    if (this.#held.has(subscription)) this.#held.get(subscription).push(message);
    else subscription.onMessage(message);
  }
}

function parse(line) {
  try {
    const reply = JSON.parse(line);
    return reply !== null && typeof reply === 'object' ? reply : null;
  } catch {
    return null;
  }
}

const publicationOf = ({ data, ...rest }) => ({ payload: data, ...rest });

/** A push of a channel as the message of the typed wire that means the same; null when there is none. */
function messageOf({ pub, join, leave, unsubscribe }) {
  if (pub) return publicationOf(pub);
  if (join) return { type: TYPE.JOIN, payload: memberOf(join.info) };
  if (leave) return { type: TYPE.LEAVE, payload: memberOf(leave.info) };
  return unsubscribe ? { type: TYPE.UNSUBSCRIBED, payload: unsubscribe } : null;
}
