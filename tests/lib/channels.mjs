// Clients of the channels wire: the unmodified npm library, and raw frames for what the library never sends.
import { once } from 'node:events';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { slowness, until } from './crier.mjs';

/** As in a browser: after close() nothing more is received (HTML, "when a WebSocket message has been received", 1). The library
 * counts on that; it would take what still comes on its old socket for the new one's. */
class BrowserSocket extends WebSocket {
  emit(event, ...args) {
    return (event !== 'message' || this.readyState === WebSocket.OPEN) && super.emit(event, ...args);
  }
}

/** A connected client of the library; ended with the test. options: protobuf, and those of the library. */
export async function channelsClient(t, server, { protobuf = false, connect = true, ...options } = {}) {
  const Library = protobuf ? ProtobufCentrifuge : Centrifuge;
  const url = `${server.wsUrl}/connection/websocket${protobuf ? '?cf_protocol=protobuf' : ''}`;
  const client = new Library(url, { websocket: BrowserSocket, minReconnectDelay: 20, maxReconnectDelay: 200, ...options });
  client.events_ = [];
  for (const name of ['connecting', 'connected', 'disconnected', 'error', 'message', 'publication', 'join', 'leave', 'subscribed', 'unsubscribed', 'subscribing'])
    client.on(name, (ctx) => client.events_.push({ name, ...ctx }));
  t?.after(() => client.disconnect());
  if (connect) {
    client.connect();
    await client.ready(5000 * slowness);
  }
  return client;
}

/** A subscription whose events are kept in `.seen`. */
export async function subscribed(client, channel, options = {}) {
  const sub = client.newSubscription(channel, options);
  sub.seen = [];
  for (const name of ['publication', 'join', 'leave', 'subscribed', 'subscribing', 'unsubscribed', 'error'])
    sub.on(name, (ctx) => sub.seen.push({ name, ...ctx }));
  sub.subscribe();
  await sub.ready(5000 * slowness);
  return sub;
}

export const publications = (sub) => sub.seen.filter((e) => e.name === 'publication');
/** Waits for `count` publications. */
export const gotPublications = (sub, count) => until(() => publications(sub).length >= count && publications(sub), `${count} publications`);

/** Speaks JSON frames itself. */
export class RawChannels {
  static async open(t, server, { path = '/connection/websocket', protocols, connect = {}, pongs = true } = {}) {
    const raw = new RawChannels();
    raw.socket = new WebSocket(server.wsUrl + path, protocols);
    raw.replies = [];
    raw.closed = new Promise((done) => raw.socket.on('close', (code, reason) => {
      raw.close = { code, reason: String(reason) };
      done(raw.close);
    }));
    raw.socket.on('message', (data) => String(data).split('\n').forEach((line) => {
      if (line === '{}' && pongs) raw.socket.send('{}');
      raw.replies.push(JSON.parse(line));
    }));
    raw.socket.on('error', () => {});
    t?.after(() => raw.socket.terminate());
    await once(raw.socket, 'open');
    raw.last = 0;
    if (connect) await raw.call({ connect });
    return raw;
  }

  send(...commands) {
    this.socket.send(commands.map((c) => (typeof c === 'string' ? c : JSON.stringify(c))).join('\n'));
  }

  /** Sends with a new id and resolves with the reply. */
  async call(command) {
    const id = ++this.last;
    this.send({ id, ...command });
    return this.reply(id);
  }

  reply(id) {
    return until(() => this.replies.find((r) => r.id === id) ?? (this.close && { closed: this.close }), `reply ${id}`);
  }

  pushes(kind) {
    return this.replies.filter((r) => r.push && (!kind || r.push[kind])).map((r) => r.push);
  }
}

const decoder = new TextDecoder();
/** What a publication holds, of JSON clients and of protobuf ones. */
export const decoded = (data) => (data instanceof Uint8Array ? JSON.parse(decoder.decode(data)) : data);

/** Keeps a map subscription's table as an application would: `.rows`; `.updates` and `.syncs` say how it came about. */
export function keepTable(sub) {
  Object.assign(sub, { rows: new Map(), updates: [], syncs: 0 });
  sub.on('sync', (ctx) => {
    sub.syncs++;
    sub.rows = new Map(ctx.entries.map((e) => [e.key, decoded(e.data)]));
  });
  sub.on('update', (ctx) => {
    sub.updates.push(ctx);
    if (ctx.removed) sub.rows.delete(ctx.key);
    else sub.rows.set(ctx.key, decoded(ctx.data));
  });
  return sub;
}
