// The channels wire in protobuf: what its frames are, bytes that are no JSON, and frames that are none.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, sleep, startCrier, until } from '../lib/crier.mjs';

const headers = { 'X-API-Key': API_KEY };
const start = (t, more = {}) => startCrier({ t, config: { namespace: [
  { name: 'news', history: 100, publish: true, presence: true, join_leave: true },
], ...more } });
const codec = new ProtobufCentrifuge('ws://127.0.0.1:1')._codec;
const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));

/** A socket that speaks frames itself; `.frames` are those of the server, `.replies` what is in them. */
class RawProtobuf {
  static async open(t, server, { path = '/connection/websocket', protocols = 'centrifuge-protobuf', connect = true } = {}) {
    const raw = new RawProtobuf();
    Object.assign(raw, { frames: [], replies: [], last: 0 });
    raw.socket = new WebSocket(server.wsUrl + path, protocols);
    raw.closed = new Promise((done) => raw.socket.on('close', (code, reason) => done(raw.close = { code, reason: String(reason) })));
    raw.socket.on('error', () => {});
    raw.socket.on('message', (data, isBinary) => {
      raw.frames.push({ data, isBinary });
      raw.replies.push(...codec.decodeReplies(data));
    });
    t.after(() => raw.socket.terminate());
    await once(raw.socket, 'open');
    if (connect) await raw.call({ connect: {} });
    return raw;
  }

  async call(command) {
    const id = ++this.last;
    this.socket.send(codec.encodeCommands([{ id, ...command }]));
    return this.reply(id);
  }

  reply(id) {
    return until(() => this.replies.find((r) => r.id === id) ?? (this.close && { closed: this.close }), `reply ${id}`);
  }
}

test('the subprotocol or the query asks for protobuf', async (t) => {
  const server = await start(t);
  const byProtocol = await RawProtobuf.open(t, server);
  assert.equal(byProtocol.socket.protocol, 'centrifuge-protobuf');
  const byQuery = await RawProtobuf.open(t, server, { path: '/connection/websocket?cf_protocol=protobuf', protocols: [] });
  for (const raw of [byProtocol, byQuery]) {
    assert.ok(raw.replies[0].connect.client.length > 0);
    assert.ok(raw.frames.every((f) => f.isBinary));
  }
});

test('several commands in one frame, each with its length in front, are answered each', async (t) => {
  const server = await start(t);
  const raw = await RawProtobuf.open(t, server, { connect: false });
  raw.socket.send(codec.encodeCommands([{ id: 1, connect: {} }, { id: 2, subscribe: { channel: 'news:a' } }, { id: 3, ping: {} },
    { id: 4, subscribe: { channel: 'nowhere:a' } }, { id: 5, unsubscribe: { channel: 'news:a' } }]));
  for (const id of [1, 2, 3, 4, 5]) await raw.reply(id);
  const [connect, subscribe, ping, error, unsubscribe] = [1, 2, 3, 4, 5].map((id) => raw.replies.find((r) => r.id === id));
  assert.ok(connect.connect && subscribe.subscribe && ping.ping && unsubscribe.unsubscribe);
  assert.equal(error.error.code, 102);
});

test('a ping of the server is one zero byte, and so is the pong', async (t) => {
  const server = await start(t, { limits: { ping_ms: 1000, pong_ms: 1500 } });
  const raw = await RawProtobuf.open(t, server);
  const ping = () => raw.frames.filter((f) => f.data.equals(Buffer.from([0]))).length;
  for (let i = 1; i <= 3; i++) {
    await until(() => ping() >= i, 'ping');
    raw.socket.send(Buffer.from([0]));
  }
  assert.equal(raw.close, undefined);
  assert.equal((await raw.closed).code, 3012);
});

test('frames that are no commands close the connection with 3501', async (t) => {
  const server = await start(t);
  const hex = ['', '01', 'ff', '020801', '022200', '0408012000', '05080122010b', '0608012a020b0c', '0708012a030a01ff',
    '80808080808080808000', '0608012200a206', '060801220052', 'ffffffff7f'];
  for (const frame of hex) {
    const raw = await RawProtobuf.open(t, server, { connect: false });
    raw.socket.send(Buffer.from(frame, 'hex'));
    assert.equal((await raw.closed).code, 3501, frame);
  }
  const good = await RawProtobuf.open(t, server);
  assert.ok((await good.call({ ping: {} })).ping);
});

test('bytes that are no JSON reach protobuf subscribers unchanged, and end JSON ones only', async (t) => {
  const server = await start(t);
  const payload = Uint8Array.from({ length: 600 }, (_, i) => i % 256);
  const publisher = await channelsClient(t, server, { protobuf: true });
  const sub = await subscribed(await channelsClient(t, server, { protobuf: true }), 'news:a');
  const json = await channelsClient(t, server);
  await subscribed(json, 'news:a');
  const other = await subscribed(await channelsClient(t, server), 'news:b');
  await publisher.publish('news:a', payload);
  assert.deepEqual(Buffer.from((await gotPublications(sub, 1))[0].data), Buffer.from(payload));
  await until(() => json.events_.some((e) => e.name === 'disconnected' && e.code === 3506), 'close of the JSON client');
  await publisher.publish('news:b', bytes({ n: 1 }));
  assert.deepEqual((await gotPublications(other, 1))[0].data, { n: 1 });
  await publisher.publish('news:a', bytes({ n: 2 }));
  await gotPublications(sub, 2);
});

test('who is there, in all the forms that say so', async (t) => {
  const server = await start(t);
  const info = { name: 'Änn' };
  const watcher = await subscribed(await channelsClient(t, server, { protobuf: true }), 'news:a', { joinLeave: true });
  const ann = await channelsClient(t, server, { protobuf: true, token: server.token({ sub: 'ann', info }) });
  const sub = await subscribed(ann, 'news:a');
  const join = await until(() => watcher.seen.find((e) => e.name === 'join' && e.info.user === 'ann'), 'join');
  const decode = (data) => JSON.parse(new TextDecoder().decode(data));
  assert.deepEqual(decode(join.info.connInfo), info);
  const { clients } = await sub.presence();
  assert.equal(Object.keys(clients).length, 2);
  const seen = clients[join.info.client];
  assert.deepEqual([seen.user, seen.client, decode(seen.connInfo)], ['ann', join.info.client, info]);
  assert.deepEqual(await sub.presenceStats(), { numClients: 2, numUsers: 2 });
  await sub.publish(bytes({ n: 1 }));
  const [pub] = await gotPublications(watcher, 1);
  assert.deepEqual([pub.info.user, decode(pub.info.connInfo)], ['ann', info]);
  sub.unsubscribe();
  const leave = await until(() => watcher.seen.find((e) => e.name === 'leave'), 'leave');
  assert.equal(leave.info.user, 'ann');
});

test('tags and large payloads come through', async (t) => {
  const server = await start(t);
  const sub = await subscribed(await channelsClient(t, server, { protobuf: true }), 'news:a');
  const tags = { line: '550', 'with "quotes"': 'ä\n' };
  const text = 'x'.repeat(50000);
  await server.request('POST', '/api/publish', { json: { channel: 'news:a', data: { text }, tags }, headers });
  const [pub] = await gotPublications(sub, 1);
  assert.deepEqual({ ...pub.tags }, tags);
  assert.equal(JSON.parse(new TextDecoder().decode(pub.data)).text, text);
  await sleep(20);
  assert.equal(publications(sub).length, 1);
});
