// The channels wire over HTTP: the unmodified npm library over its fallback transports, and streams read by hand.
import http from 'node:http';
import https from 'node:https';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import { slowness, until } from './crier.mjs';

/** What Node has no class for: just enough of the browsers' EventSource, on fetch. */
export class EventSource {
  #abort = new AbortController();

  constructor(url) {
    this.#run(url).catch((error) => !this.#abort.signal.aborted && this.onerror?.(error));
  }

  async #run(url) {
    const reply = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: this.#abort.signal });
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    this.onopen?.();
    let rest = '';
    for await (const piece of reply.body.pipeThrough(new TextDecoderStream(), { signal: this.#abort.signal })) {
      const events = (rest + piece).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        const data = event.split(/\r\n|\r|\n/).filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
        if (data.length) this.onmessage?.({ data: data.join('\n') });
      }
    }
    throw new Error('the stream has ended');
  }

  close() {
    this.#abort.abort();
  }
}

export const TRANSPORTS = [
  { name: 'SSE', transport: 'sse' },
  { name: 'HTTP stream', transport: 'http_stream' },
  { name: 'HTTP stream with protobuf', transport: 'http_stream', protobuf: true },
];

/** The library does not look at the outcome of what it posts, and Node ends a process for that when the server is away. */
const post = (url, options) => fetch(url, options).catch(() => {});

/** Ends with its signal: Node 18's fetch forgets the signal once its request has been collected as garbage. */
async function fetchStream(url, options) {
  const { body, status, headers } = await fetch(url, options);
  return new Response(body?.pipeThrough(new TransformStream(), { signal: options.signal }), { status, headers });
}

const calmFetch = (url, options) => (String(url).endsWith('/emulation') ? post : fetchStream)(url, options);

/** A connected client of the library; ended with the test. */
export async function streamClient(t, server, { transport, protobuf = false, connect = true, ...options }) {
  const Library = protobuf ? ProtobufCentrifuge : Centrifuge;
  const client = new Library([{ transport, endpoint: `${server.url}/connection/${transport}` }], {
    emulationEndpoint: `${server.url}/emulation`, eventsource: EventSource, fetch: calmFetch, readableStream: ReadableStream,
    minReconnectDelay: 20, maxReconnectDelay: 200, ...options,
  });
  client.seen = [];
  for (const name of ['connecting', 'connected', 'disconnected', 'error', 'message'])
    client.on(name, (ctx) => client.seen.push({ name, ...ctx }));
  t.after(() => client.disconnect());
  if (connect) {
    client.connect();
    await client.ready(5000 * slowness);
  }
  return client;
}

/** A stream read by hand: `.status`, `.headers`, `.messages` (parsed), `.ended`. Options: method, body,
 * headers, tls, binary (only `.text`, a character a byte). */
export class RawStream {
  static open(t, server, path, { method = 'GET', body, headers = {}, tls, binary = false } = {}) {
    const stream = new RawStream();
    return new Promise((done, failed) => {
      const options = { host: '127.0.0.1', port: server.port, method, path, headers, agent: false, ...tls };
      stream.request = (tls ? https : http).request(options, (reply) => {
        stream.response = reply;
        stream.status = reply.statusCode;
        stream.headers = reply.headers;
        reply.setEncoding(binary ? 'latin1' : 'utf8');
        reply.on('data', (text) => (binary ? stream.text += text : stream.#take(text)));
        stream.closed = new Promise((end) => reply.on('close', () => {
          stream.ended = true;
          stream.complete = reply.complete;
          end();
        }));
        reply.on('error', () => {});
        done(stream);
      });
      stream.request.on('error', failed);
      stream.request.end(body);
      t?.after(() => stream.close());
    });
  }

  constructor() {
    this.text = '';
    this.messages = [];
    this.rest = '';
    this.ended = false;
  }

  #take(text) {
    this.text += text;
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop();
    for (const line of lines) {
      const json = line.startsWith('data: ') ? line.slice(6) : line;
      if (json.trim()) this.messages.push(JSON.parse(json));
    }
  }

  /** Waits for a message that `test` takes. */
  message(test, what = 'message') {
    return until(() => this.messages.find(test), what);
  }

  reply(id) {
    return this.message((m) => m.id === id, `reply ${id}`);
  }

  close() {
    this.request.destroy();
  }
}

const connectCommand = (connect, more) => [{ id: 1, connect }, ...more].map((c) => JSON.stringify(c)).join('\n');

/** A bidirectional stream by hand, after its connect reply: `.session`, `.node`, send(). */
export async function openSession(t, server, { kind = 'sse', connect = {}, more = [] } = {}) {
  const commands = connectCommand(connect, more);
  const stream = kind === 'sse'
    ? await RawStream.open(t, server, `/connection/sse?cf_connect=${encodeURIComponent(commands)}`)
    : await RawStream.open(t, server, '/connection/http_stream', { method: 'POST', body: commands });
  const reply = (await stream.reply(1)).connect;
  Object.assign(stream, { session: reply.session, node: reply.node, client: reply.client });
  stream.send = (...list) => emulate(server, stream, list.map((c) => (typeof c === 'string' ? c : JSON.stringify(c))).join('\n'));
  return stream;
}

/** POST /emulation; gives the reply. */
export function emulate(server, { session, node }, data, headers = {}) {
  return server.request('POST', '/emulation', { json: { session, node, data }, headers });
}
