// Raw bytes: a TCP socket that sends and expects exactly what it is told, and WebSocket frames built by hand.
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export class RawSocket {
  static connect(port) {
    return new Promise((done, failed) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        done(new RawSocket(socket));
      });
    });
  }

  constructor(socket) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.ended = false;
    this.wake = () => {};
    socket.on('data', (data) => {
      this.received = Buffer.concat([this.received, data]);
      this.wake();
    });
    for (const event of ['end', 'close', 'error'])
      socket.on(event, () => {
        this.ended = true;
        this.wake();
      });
  }

  send(bytes) {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Waits until `take(received)` gives something else than undefined. */
  async wait(take, what, ms = 20000) {
    const end = Date.now() + ms;
    for (;;) {
      const value = take(this.received);
      if (value !== undefined) return value;
      const left = end - Date.now();
      if (this.ended || left <= 0) {
        const seen = JSON.stringify(this.received.toString('latin1').slice(0, 400));
        throw new Error(`${what}: ${this.ended ? 'connection ended' : `not within ${ms} ms`}; got ${seen}`);
      }
      await new Promise((done) => {
        const timer = setTimeout(done, left);
        this.wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    }
  }

  read(count, ms) {
    return this.wait((bytes) => {
      if (bytes.length < count) return undefined;
      this.received = bytes.subarray(count);
      return bytes.subarray(0, count);
    }, `${count} bytes`, ms);
  }

  /** All up to and including `mark`, as text. */
  readUntil(mark, ms) {
    return this.wait((bytes) => {
      const at = bytes.indexOf(mark);
      if (at < 0) return undefined;
      this.received = bytes.subarray(at + mark.length);
      return bytes.subarray(0, at + mark.length).toString('latin1');
    }, `text up to ${JSON.stringify(mark)}`, ms);
  }

  async expect(bytes, ms) {
    const wanted = Buffer.from(bytes);
    const got = await this.read(wanted.length, ms);
    if (!got.equals(wanted)) throw new Error(`expected ${wanted.toString('hex')}, got ${got.toString('hex')}`);
  }

  /** The head of a reply: {status, headers}; the body is left unread. */
  async readHead(ms) {
    const [first, ...lines] = (await this.readUntil('\r\n\r\n', ms)).trimEnd().split('\r\n');
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    return { status: Number(first.split(' ')[1]), headers };
  }

  /** Resolves when the server has closed the connection. */
  async closed(ms = 20000) {
    const end = Date.now() + ms;
    while (!this.ended) {
      if (Date.now() > end) throw new Error(`the connection is still open after ${ms} ms`);
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  terminate() {
    this.socket.destroy();
  }
}

/** One frame; every field can be wrong on purpose. `length` replaces the honest one, `lengthForm` is 7, 16 or 64 bits. */
export function frame({ fin = true, rsv = 0, opcode = OPCODE.text, payload = '', mask = true, length, lengthForm } = {}) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const form = lengthForm ?? (size < 126 ? 7 : size < 65536 ? 16 : 64);
  const head = Buffer.alloc({ 7: 2, 16: 4, 64: 10 }[form]);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | { 7: Number(size) & 127, 16: 126, 64: 127 }[form];
  if (form === 16) head.writeUInt16BE(Number(size), 2);
  if (form === 64) head.writeBigUInt64BE(BigInt(size), 2);
  if (!mask) return Buffer.concat([head, data]);
  const key = randomBytes(4);
  return Buffer.concat([head, key, data.map((byte, i) => byte ^ key[i & 3])]);
}

export const closePayload = (code, reason = '') => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

/** Handshake as text; `replace` maps header names to values, undefined leaves one out. */
export function handshake(path = '/ws', replace = {}, { method = 'GET', version = 'HTTP/1.1' } = {}) {
  const headers = { Host: 'localhost', Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...replace };
  const lines = Object.entries(headers).filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [value].flat().map((v) => `${name}: ${v}`));
  return `${method} ${path} ${version}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

export const acceptOf = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

export class RawWebSocket extends RawSocket {
  static async open(port, path, headers) {
    const { socket } = await RawSocket.connect(port);
    socket.removeAllListeners('data');
    const ws = new RawWebSocket(socket);
    const key = randomBytes(16).toString('base64');
    ws.send(handshake(path, { Host: `127.0.0.1:${port}`, 'Sec-WebSocket-Key': key, ...headers }));
    ws.head = await ws.readHead();
    if (ws.head.status !== 101) throw Object.assign(new Error(`handshake refused with ${ws.head.status}`), { head: ws.head });
    return ws;
  }

  sendFrame(options) {
    this.send(frame(options));
  }

  sendText(payload) {
    this.sendFrame({ payload });
  }

  /** {fin, rsv, opcode, masked, payload} */
  readFrame(ms) {
    return this.wait((bytes) => {
      if (bytes.length < 2) return undefined;
      const short = bytes[1] & 127;
      const at = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (bytes.length < at) return undefined;
      const size = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
      if (bytes.length < at + size) return undefined;
      this.received = bytes.subarray(at + size);
      return { fin: bytes[0] >= 128, rsv: (bytes[0] >> 4) & 7, opcode: bytes[0] & 15, masked: bytes[1] >= 128,
        payload: bytes.subarray(at, at + size) };
    }, 'a frame', ms);
  }

  /** Skips to the frame with that opcode. */
  async readOpcode(opcode, ms) {
    for (;;) {
      const f = await this.readFrame(ms);
      if (f.opcode === opcode) return f;
    }
  }

  /** The close frame and then the end of the connection: {code, reason}; code 1005 when it had no body. */
  async expectClose(code, ms = 20000) {
    const { payload } = await this.readOpcode(OPCODE.close, ms);
    const got = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
    if (code !== undefined && got !== code) throw new Error(`expected close ${code}, got ${got} ${payload.subarray(2)}`);
    await this.closed(ms);
    return { code: got, reason: payload.subarray(2).toString() };
  }
}
