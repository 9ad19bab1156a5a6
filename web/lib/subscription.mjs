import { Backoff } from './backoff.mjs';
import { CrierError, TYPE } from './wire.mjs';

const RESYNC = 2500; // from here on: "subscribe again with the last position"

/**
 * One channel, kept subscribed over reconnects, whatever the wire. Made by subscribe() of a client. It remembers the
 * position (epoch and offset) of what it has seen and resumes after it; offsets grow but need not be contiguous.
 *
 * Events (CustomEvent, data in `detail`):
 * - `subscribed`  {fresh, epoch, offset, publications}: `publications` items of history follow. `fresh`: they are the
 *                 newest ones, not those missed since the last position, so throw away what you show.
 * - `publication` {payload, offset, replayed}, and what else the wire says: type; or key, tags, info, removed
 * - `caughtup`    {}: the announced publications are all here, what follows is live
 * - `lost`        {}: the position could not be recovered, some publications may be missing; a fresh history follows
 * - `gap`         {first, last}: offsets that this session will not get
 * - `join`, `leave` {session, user, name}
 * - `state`       {state, error}: waiting, subscribing, subscribed, failed, closed
 */
export class Subscription extends EventTarget {
  #link;
  #backoff;
  #timer = null;
  #replayLeft = 0;
  #topOffset = -1;

  /**
   * @param {object} link the client's side: {isOpen(), subscribe(request)}
   * @param {string} channel
   * @param {{history?: number, epoch?: string, offset?: number, map?: boolean, backoff?: Backoff}} [options] `map`: the
   *   publications are those of a table, several may share an offset (channels wire)
   */
  constructor(link, channel, { history = 0, epoch, offset, map = false, backoff = new Backoff() } = {}) {
    super();
    this.#link = link;
    this.#backoff = backoff;
    this.channel = channel;
    this.history = history;
    this.map = map;
    /** Position of the last publication seen; null before the first subscription. */
    this.position = epoch === undefined ? null : { epoch, offset };
    this.state = 'waiting';
    this.caughtUp = false;
  }

  /** Called by the client when the connection is there. */
  onOpen() {
    if (this.state !== 'closed' && this.state !== 'failed') this.#start();
  }

  /** Called by the client when the connection has gone. */
  onClose() {
    clearTimeout(this.#timer);
    if (this.state !== 'closed' && this.state !== 'failed') this.#setState('waiting');
  }

  /** Tries again after `failed`. */
  retry() {
    if (this.state === 'failed') this.#setState('waiting');
    if (this.#link.isOpen()) this.onOpen();
  }

  close() {
    clearTimeout(this.#timer);
    this.#setState('closed');
  }

  /** Called by the client for every message that belongs to this channel. */
  onMessage(message) {
    switch (message.type) {
      case TYPE.SUBSCRIBED:
        return this.#onSubscribed(message.payload);
      case TYPE.UNSUBSCRIBED:
        return this.#onUnsubscribed(message.payload);
      case TYPE.GAP:
        this.#moveTo(message.payload.last);
        return this.#emit('gap', message.payload);
      case TYPE.JOIN:
        return this.#emit('join', message.payload);
      case TYPE.LEAVE:
        return this.#emit('leave', message.payload);
      default:
        return this.#onPublication(message);
    }
  }

  async #start() {
    clearTimeout(this.#timer);
    this.#setState('subscribing');
    const history = this.history > 0 ? { history: this.history } : {}; // where there is no position, or it is too old
    try {
      await this.#link.subscribe({ channel: this.channel, ...this.position, ...history });
    } catch (error) {
      if (this.state === 'subscribing') this.#onRefused(error);
    }
  }

  #onRefused(error) {
    if (error.disconnected) return;
    if (!error.temporary) return this.#setState('failed', error);
    this.#timer = setTimeout(() => this.#start(), this.#backoff.next());
  }

  #onSubscribed(reply) {
    if (this.state === 'closed') return;
    if (this.state === 'subscribed' && reply.recovered === undefined) {
      // The channel counts anew, or its log was not known before: the stream goes on without a gap.
      this.position = { epoch: reply.epoch, offset: reply.offset };
      return;
    }
    const recovered = this.position !== null && reply.recovered === true;
    if (this.position !== null && !recovered) this.#emit('lost', {});
    this.#backoff.reset();
    this.#setState('subscribed');
    this.#replayLeft = reply.publications ?? 0;
    if (!recovered) this.position = { epoch: reply.epoch, offset: -1 };
    this.#topOffset = recovered ? -1 : reply.offset; // what was missed has still to come
    this.#emit('subscribed', { ...reply, fresh: !recovered, publications: this.#replayLeft });
    if (this.#replayLeft === 0) this.#onCaughtUp();
  }

  #onUnsubscribed({ code, reason }) {
    if (this.state !== 'subscribed') return; // the answer to our own request
    if (code < RESYNC) return this.#setState('failed', new CrierError(code, reason));
    this.#setState('waiting');
    this.#timer = setTimeout(() => this.#start(), this.#backoff.next());
  }

  #onPublication({ offset, ...rest }) {
    if (this.state !== 'subscribed') return;
    const replayed = this.#replayLeft > 0;
    const seen = !this.map && offset !== undefined && offset <= this.position.offset;
    this.#moveTo(offset);
    if (!seen) this.#emit('publication', { ...rest, offset, replayed });
    if (replayed && --this.#replayLeft === 0) this.#onCaughtUp();
  }

  #onCaughtUp() {
    this.#moveTo(this.#topOffset);
    this.caughtUp = true;
    this.#emit('caughtup', {});
  }

  #moveTo(offset) {
    if (this.position && offset > this.position.offset) this.position.offset = offset;
  }

  #setState(state, error = null) {
    if (state !== 'subscribed') this.caughtUp = false;
    if (this.state === state) return;
    this.state = state;
    this.#emit('state', { state, error });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
