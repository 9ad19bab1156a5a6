/**
 * The typed wire in its text form: {"type": n, "id"?: ..., "channel"?: ..., "offset"?: n, "payload": value}.
 * docs/typed-wire.md describes it.
 */

/** Message types of the server itself; everything below 0xffffff00 belongs to handlers and channels. */
export const TYPE = Object.freeze({
  ERROR: 0xffffffff,
  OK: 0xfffffffe,
  SUBSCRIBE: 0xfffffffd,
  SUBSCRIBED: 0xfffffffc,
  UNSUBSCRIBE: 0xfffffffb,
  UNSUBSCRIBED: 0xfffffffa,
  PUBLISH: 0xfffffff9,
  GAP: 0xfffffff8,
  JOIN: 0xfffffff7,
  LEAVE: 0xfffffff6,
  PRESENCE: 0xfffffff5,
  PING: 0xfffffff4,
});

/** Why a request failed. `code` as in docs/errors.md; 0 when the connection went away before the answer. */
export class CrierError extends Error {
  constructor(code, message, temporary = false) {
    super(message);
    this.name = 'CrierError';
    this.code = code;
    this.temporary = temporary;
  }

  /** The connection went away first: the server may have done it or not. */
  get disconnected() {
    return this.code === 0;
  }
}

export function encode(type, payload, id) {
  return JSON.stringify(id === undefined ? { type, payload } : { type, id, payload });
}

/** A message of the server, or null when it is none. Control payloads are always objects. */
export function decode(data) {
  if (typeof data !== 'string') return null;
  try {
    const { type, id, channel, offset, payload } = JSON.parse(data);
    if (!Number.isInteger(type)) return null;
    // Control messages name what they are about in their payload; what others hold is none of our business.
    const about = type >= 0xffffff00 && payload !== null && typeof payload === 'object' ? payload : {};
    return { type, id: id ?? about.id, channel: channel ?? about.channel, offset, payload };
  } catch {
    return null;
  }
}
