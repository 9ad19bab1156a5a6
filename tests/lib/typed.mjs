// A session on the typed wire, on npm `ws`. Types of the server itself as in proto/typed.h.
import WebSocket from 'ws';

export const TYPE = {
  error: 0xffffffff, ok: 0xfffffffe, subscribe: 0xfffffffd, subscribed: 0xfffffffc, unsubscribe: 0xfffffffb,
  unsubscribed: 0xfffffffa, publish: 0xfffffff9, gap: 0xfffffff8, join: 0xfffffff7, leave: 0xfffffff6,
  presence: 0xfffffff5, ping: 0xfffffff4,
};

const parse = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** {form, type, id, channel, offset, payload, raw}; payload is parsed where it is JSON. */
export function decodeTyped(data, isBinary) {
  if (isBinary)
    return { form: 'binary', type: data.readUInt32LE(0), payload: parse(data.subarray(4).toString()), raw: data };
  const message = JSON.parse(data.toString());
  const form = typeof message.payload === 'string' ? 'string' : 'object';
  return { form, ...message, payload: form === 'string' ? parse(message.payload) : message.payload, raw: data.toString() };
}

export function encodeTyped(form, type, payload, id) {
  const text = payload === undefined ? '' : typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload);
  if (form === 'binary') {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(type);
    return Buffer.concat([head, Buffer.from(text)]);
  }
  return JSON.stringify({ type, ...(id !== undefined && { id }), payload: form === 'string' ? String(text) : payload });
}

export class TypedClient {
  /** Options: path, form ('object', 'string', 'binary'), headers, protocols, origin, autoPong, skipUTF8Validation. */
  constructor(url, { path = '/ws', form = 'object', headers, protocols = [], ...options } = {}) {
    this.form = form;
    this.messages = []; // received and not yet taken by next()
    this.nextId = 1;
    this.waiting = new Set(); // callbacks of next()
    this.ws = new WebSocket(url + path, protocols, { headers, perMessageDeflate: false, ...options });
    this.ws.on('message', (data, isBinary) => {
      const message = decodeTyped(data, isBinary);
      message.at = performance.now();
      if (this.onMessage?.(message) === true) return;
      this.messages.push(message);
      this.wake();
    });
    this.closed = new Promise((done) => this.ws.on('close', (code, reason) => {
      this.close = { code, reason: reason.toString() };
      this.wake();
      done(this.close);
    }));
    this.opened = new Promise((done, failed) => {
      this.ws.once('open', done);
      this.ws.on('unexpected-response', (req, res) => {
        const parts = [];
        res.on('data', (part) => parts.push(part));
        res.on('end', () => failed(Object.assign(new Error(`refused with ${res.statusCode}`),
          { status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString() })));
        res.on('error', failed);
      });
      this.ws.on('error', failed);
    });
    this.opened.catch(() => {});
  }

  wake() {
    for (const callback of [...this.waiting]) callback();
  }

  send(type, payload, id) {
    this.ws.send(encodeTyped(this.form, type, payload, id));
  }

  /** Takes the first message that fits out of the queue, waiting for it; messages before it stay. */
  async next(fits = () => true, what = 'a message', ms = 20000) {
    const end = Date.now() + ms;
    for (;;) {
      const at = this.messages.findIndex(fits);
      if (at >= 0) return this.messages.splice(at, 1)[0];
      const left = end - Date.now();
      if (this.close || left <= 0)
        throw new Error(`${what}: ${this.close ? `closed with ${this.close.code} ${this.close.reason}` : `not within ${ms} ms`}; `
          + `queued: ${JSON.stringify(this.messages.slice(0, 5).map((m) => m.raw.toString()))}`);
      await new Promise((done) => {
        const finish = () => {
          clearTimeout(timer);
          this.waiting.delete(finish);
          done();
        };
        const timer = setTimeout(finish, left);
        this.waiting.add(finish);
      });
    }
  }

  nextType(type, ms) {
    return this.next((m) => m.type === type, `type ${type}`, ms);
  }

  /** Sends with an id and takes the answer to it, or, in binary form that has no ids, the next answer. */
  async request(type, payload, ms) {
    const id = this.form === 'binary' ? undefined : String(this.nextId++);
    this.send(type, payload, id);
    const answers = [TYPE.ok, TYPE.error, TYPE.subscribed, TYPE.unsubscribed, TYPE.presence];
    return this.next((m) => (id === undefined ? answers.includes(m.type) : m.id === id), `answer to type ${type}`, ms);
  }

  /** The `subscribed` answer's payload; throws the error otherwise. */
  async subscribe(channel, options = {}) {
    const answer = await this.request(TYPE.subscribe, { channel, ...options });
    if (answer.type !== TYPE.subscribed) throw Object.assign(new Error(answer.raw.toString()), { answer, code: answer.payload?.error?.code });
    return answer.payload;
  }

  /** The position of an acknowledged publish; throws the error otherwise. */
  async publish(channel, data, more = {}) {
    const answer = await this.request(TYPE.publish, { channel, data, ...more });
    if (answer.type !== TYPE.ok) throw Object.assign(new Error(answer.raw.toString()), { answer, code: answer.payload?.error?.code });
    return answer.payload.ok;
  }

  /** The next `count` publications of a channel, in order. */
  async publications(channel, count, ms) {
    const list = [];
    while (list.length < count)
      list.push(await this.next((m) => m.channel === channel, `publication ${list.length + 1} of ${count} on ${channel}`, ms));
    return list;
  }

  /** Fails when something arrives within that time. */
  async expectSilence(ms, fits = () => true) {
    await new Promise((done) => setTimeout(done, ms));
    const found = this.messages.find(fits);
    if (found) throw new Error(`unexpected message ${found.raw}`);
  }

  /** Stops and resumes reading from the socket: a slow reader. */
  pause() { this.ws._socket.pause(); }
  resume() { this.ws._socket.resume(); }

  /** Closing handshake. */
  async end(code = 1000) {
    this.ws.close(code);
    return this.closed;
  }

  terminate() {
    this.ws.terminate();
  }
}
