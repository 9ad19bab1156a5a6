// The channels wire without WebSocket: SSE and HTTP streams with POST /emulation, and the unidirectional transports.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import WebSocket from 'ws';
import { parseMetrics } from '../lib/metrics.mjs';
import { RawSocket } from '../lib/raw.mjs';
import { freePort, sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { RawStream, TRANSPORTS, emulate, openSession, streamClient } from '../lib/streams.mjs';

const CONNECT = encodeURIComponent('{"id":1,"connect":{}}');
const TEXT = 'ä € 😀 "quoted" \\ and a\nline';

/** A server where anyone may do everything; `config` goes over it. */
function start(t, { limits, ...config } = {}) {
  return startCrier({ t, config: {
    auth: { anonymous: true },
    debug: { insecure: true },
    limits: { rate_messages: 0, handshakes_per_second: 0, ...limits },
    namespace: [{ name: 'default', publish: true, history: 1000, presence: true }],
    ...config,
  } });
}

const idle = async (server) => {
  const m = await server.metrics();
  return m.value('crier_streams') === 0 && m.value('crier_sessions') === 0 && m.value('crier_subscriptions') === 0;
};

// ---- the library

for (const way of TRANSPORTS) {
  test(`${way.name}: the library subscribes, publishes and asks`, async (t) => {
    const server = await start(t);
    const client = await streamClient(t, server, way);
    const sub = client.newSubscription('room');
    const got = [];
    sub.on('publication', (ctx) => got.push(ctx.data));
    sub.subscribe();
    await sub.ready(5000 * slowness);
    const encode = (value) => (way.protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
    const decode = (value) => (way.protobuf ? JSON.parse(new TextDecoder().decode(value)) : value);
    for (let i = 0; i < 50; i++) await sub.publish(encode({ i, text: TEXT }));
    await until(() => got.length === 50, '50 publications');
    assert.deepEqual(got.map(decode), Array.from({ length: 50 }, (_, i) => ({ i, text: TEXT })));
    const presence = await sub.presence();
    assert.deepEqual(Object.keys(presence.clients).length, 1);
    await assert.rejects(client.rpc('nothing', encode({})), (error) => error.code === 104 || error.code === 108);
    const metrics = await server.metrics();
    assert.equal(metrics.value('crier_streams'), 1);
    assert.equal(metrics.value('crier_sessions'), 1);
    client.disconnect();
    await until(() => idle(server), 'no session left');
  });

  test(`${way.name}: pings and pongs keep it open, a restart brings it back`, async (t) => {
    const server = await start(t, { limits: { ping_ms: '1s', pong_ms: '3s' } });
    const client = await streamClient(t, server, way);
    await sleep(5000);
    assert.deepEqual(client.seen.map((e) => e.name), ['connecting', 'connected']);
    await server.restart();
    await until(() => client.seen.filter((e) => e.name === 'connected').length === 2, 'connected again');
    const end = client.seen.find((e, i) => i > 1 && e.name === 'connecting');
    assert.deepEqual([end.code, end.reason], [3001, 'shutdown']);
  });

  test(`${way.name}: a burst of publications arrives whole`, async (t) => {
    const server = await start(t);
    const reader = await streamClient(t, server, way);
    const sub = reader.newSubscription('burst');
    const got = [];
    sub.on('publication', (ctx) => got.push(way.protobuf ? JSON.parse(new TextDecoder().decode(ctx.data)) : ctx.data));
    sub.subscribe();
    await sub.ready(5000 * slowness);
    const pad = TEXT.repeat(3);
    for (let k = 0; k < 10; k++)
      await Promise.all(Array.from({ length: 20 }, (_, i) => server.api('publish', { channel: 'burst', data: { i: k * 20 + i, pad } })));
    await until(() => got.length >= 200, '200 publications');
    assert.equal(new Set(got.map((d) => d.i)).size, 200);
    assert.ok(got.every((d) => d.pad === pad));
  });
}

for (const way of TRANSPORTS) {
  test(`${way.name}: what was missed while the stream was cut is recovered, each once and in order`, async (t) => {
    const server = await start(t, { namespace: [{ name: 'default', publish: true, history: 5000, force_recovery: true }] });
    const client = await streamClient(t, server, way);
    const sub = client.newSubscription('log');
    const got = [], recovered = [];
    sub.on('publication', (ctx) => got.push(way.protobuf ? JSON.parse(new TextDecoder().decode(ctx.data)) : ctx.data));
    sub.on('subscribed', (ctx) => recovered.push(ctx.recovered));
    sub.subscribe();
    await sub.ready(5000 * slowness);
    for (let i = 0; i < 400; i++) {
      await server.api('publish', { channel: 'log', data: i });
      if (i % 100 === 50) await server.api('disconnect', { user: '', disconnect: { code: 3011, reason: 'force reconnect' } });
      if (i % 100 === 80) await until(() => recovered.length === (i + 20) / 100 + 1, 'back again');
    }
    await until(() => got.length >= 400, '400 publications');
    assert.deepEqual(got, Array.from({ length: 400 }, (_, i) => i));
    assert.deepEqual(recovered, [false, true, true, true, true]);
  });
}

for (const way of TRANSPORTS) {
  test(`${way.name}: deltas, also across a cut`, async (t) => {
    const server = await start(t, { namespace: [{ name: 'default', history: 1000, force_recovery: true, delta: true }] });
    const client = await streamClient(t, server, way);
    const sub = client.newSubscription('log', { delta: 'fossil' });
    const got = [];
    sub.on('publication', (ctx) => got.push(way.protobuf ? JSON.parse(new TextDecoder().decode(ctx.data)) : ctx.data));
    sub.subscribe();
    await sub.ready(5000 * slowness);
    const witness = await openSession(t, server, { kind: way.transport, more: [{ id: 2, subscribe: { channel: 'log', delta: 'fossil' } }] });
    assert.equal((await witness.reply(2)).subscribe.delta, true);
    const bulk = TEXT.repeat(20);
    for (let i = 0; i < 40; i++) {
      await server.api('publish', { channel: 'log', data: { i, bulk } });
      if (i === 20) await server.api('disconnect', { user: '', whitelist: [witness.client], disconnect: { code: 3011, reason: 'force reconnect' } });
    }
    await until(() => got.length >= 40, '40 publications');
    assert.deepEqual(got, Array.from({ length: 40 }, (_, i) => ({ i, bulk })));
    await until(() => witness.messages.filter((m) => m.push?.pub).length === 40, '40 pushes');
    assert.equal(witness.messages.filter((m) => m.push?.pub?.delta).length, 39);
  });
}

test('the library falls back from a WebSocket that cannot be opened', async (t) => {
  const { Centrifuge } = await import('centrifuge');
  const { EventSource } = await import('../lib/streams.mjs');
  const server = await start(t);
  const client = new Centrifuge([
    { transport: 'websocket', endpoint: `${server.wsUrl}/no/such/path` },
    { transport: 'http_stream', endpoint: `${server.url}/connection/http_stream` },
    { transport: 'sse', endpoint: `${server.url}/connection/sse` },
  ], { emulationEndpoint: `${server.url}/emulation`, websocket: WebSocket, fetch, readableStream: ReadableStream, eventsource: EventSource,
    minReconnectDelay: 20, maxReconnectDelay: 200 });
  t.after(() => client.disconnect());
  const connected = new Promise((done) => client.on('connected', done));
  client.connect();
  assert.equal((await connected).transport, 'http_stream');
});

// ---- heads and statuses

test('heads of streams: what proxies must not buffer, the preamble, the connect reply', async (t) => {
  const server = await start(t);
  for (const [path, options, type] of [
    [`/connection/sse?cf_connect=${CONNECT}`, {}, 'text/event-stream; charset=utf-8'],
    ['/connection/sse', { method: 'POST', body: '{"id":1,"connect":{}}' }, 'text/event-stream; charset=utf-8'],
    ['/connection/http_stream', { method: 'POST', body: '{"id":1,"connect":{}}' }, 'application/json; charset=utf-8'],
  ]) {
    const stream = await RawStream.open(t, server, path, options);
    assert.equal(stream.status, 200);
    assert.equal(stream.headers['content-type'], type);
    assert.equal(stream.headers['cache-control'], 'private, no-cache, no-store, must-revalidate, max-age=0');
    assert.equal(stream.headers.pragma, 'no-cache');
    assert.equal(stream.headers['x-accel-buffering'], 'no');
    const { connect } = await stream.reply(1);
    assert.match(connect.session, /^[0-9a-f]{48}$/);
    assert.ok(connect.node && connect.client);
    assert.equal(connect.ping, 25);
    assert.equal(connect.pong, true);
    assert.equal(stream.text.startsWith('\ndata: {"id":1,'), type.startsWith('text'));
    stream.close();
  }
  const protobuf = await RawStream.open(t, server, '/connection/http_stream',
    { method: 'POST', body: Buffer.from([4, 8, 1, 0x22, 0]), headers: { 'content-type': 'application/octet-stream' }, binary: true });
  assert.equal(protobuf.headers['content-type'], 'application/octet-stream');
});

test('statuses of requests that become no stream', async (t) => {
  const server = await start(t, { limits: { message_bytes: 1000 } });
  const long = `{"id":1,"connect":{"name":"${'x'.repeat(1000)}"}}`;
  const { session, node } = await openSession(t, server);
  for (const [status, method, path, body] of [
    [400, 'GET', '/connection/sse'],
    [400, 'GET', '/connection/sse?cf_connect='],
    [400, 'GET', '/connection/sse?cf_connect=%7'],
    [405, 'PUT', '/connection/sse', '{}'],
    [405, 'DELETE', '/connection/sse'],
    [413, 'POST', '/connection/sse', long],
    [413, 'GET', `/connection/sse?cf_connect=${encodeURIComponent(long)}`],
    [405, 'GET', '/connection/http_stream'],
    [413, 'POST', '/connection/http_stream', long],
    [405, 'GET', '/emulation'],
    [400, 'POST', '/emulation', ''],
    [400, 'POST', '/emulation', '{'],
    [400, 'POST', '/emulation', '[]'],
    [413, 'POST', '/emulation', JSON.stringify({ session, node, data: long })],
    [404, 'POST', '/emulation', JSON.stringify({ session, node: 'elsewhere', data: '{}' })],
    [204, 'POST', '/emulation', JSON.stringify({ session: 'unknown', node, data: '{"id":2,"ping":{}}' })],
    [204, 'POST', '/emulation', JSON.stringify({ session, node, data: { id: 2 } })],
    [204, 'POST', '/emulation', JSON.stringify({ session, node })],
    [400, 'GET', '/connection/uni_sse?cf_connect=%7Bbad'],
    [400, 'POST', '/connection/uni_sse', '[]'],
    [400, 'POST', '/connection/uni_sse', '{}{}'],
    [400, 'POST', '/connection/uni_http_stream', '{}}\n{"id":2,"rpc":{"method":"x"}'],
    [405, 'GET', '/connection/uni_http_stream'],
  ]) {
    const reply = await server.request(method, path, { body });
    assert.equal(reply.status, status, `${method} ${path} ${body}`);
    if (status === 405) assert.match(reply.headers.allow, /POST/);
    if (status === 204) assert.equal(reply.text, '');
    if (status > 400) assert.equal(typeof reply.json.error.message, 'string');
  }
  const head = await server.request('HEAD', `/connection/sse?cf_connect=${CONNECT}`);
  assert.equal(head.status, 200);
});

test('first commands that are wrong are answered in the stream, which ends', async (t) => {
  const server = await start(t, { debug: { insecure: false } });
  for (const [commands, code] of [
    ['{"id":1,"subscribe":{"channel":"a"}}', 3501], ['{bad', 3501], ['{}', 3501], ['{"id":1,"connect":{"token":"x.y.z"}}', 3500],
  ]) {
    const stream = await RawStream.open(t, server, `/connection/sse?cf_connect=${encodeURIComponent(commands)}`);
    assert.equal(stream.status, 200);
    await stream.closed;
    assert.equal(stream.messages.length, 1);
    assert.equal(stream.messages[0].push.disconnect.code, code, commands);
    assert.ok(stream.messages[0].push.disconnect.reason);
  }
  await until(() => idle(server), 'no session left');
});

test('pages of other origins: the listed ones are answered, others are not let in', async (t) => {
  const server = await start(t, { auth: { anonymous: true, allowed_origins: ['https://good.example'] } });
  const good = { Origin: 'https://good.example' }, bad = { Origin: 'https://evil.example' };
  const asks = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type, x-mine' };
  for (const path of ['/connection/sse', '/connection/http_stream', '/connection/uni_sse', '/connection/uni_http_stream', '/emulation']) {
    const yes = await server.request('OPTIONS', path, { headers: { ...good, ...asks } });
    assert.equal(yes.status, 204);
    assert.equal(yes.headers['access-control-allow-origin'], 'https://good.example');
    assert.equal(yes.headers['access-control-allow-credentials'], 'true');
    assert.equal(yes.headers['access-control-allow-headers'], 'content-type, x-mine');
    assert.match(yes.headers['access-control-allow-methods'], /POST.*OPTIONS/);
    assert.ok(Number(yes.headers['access-control-max-age']) > 0);
    const no = await server.request('OPTIONS', path, { headers: { ...bad, ...asks } });
    assert.equal(no.headers['access-control-allow-origin'], undefined);
    assert.equal(no.headers['access-control-allow-credentials'], undefined);
  }
  const stream = await RawStream.open(t, server, `/connection/sse?cf_connect=${CONNECT}`, { headers: good });
  assert.equal(stream.headers['access-control-allow-origin'], 'https://good.example');
  assert.equal(stream.headers['access-control-allow-credentials'], 'true');
  const { connect } = await stream.reply(1);
  const sent = await emulate(server, connect, '{"id":2,"ping":{}}', good);
  assert.equal(sent.status, 204);
  assert.equal(sent.headers['access-control-allow-origin'], 'https://good.example');
  assert.equal((await server.get(`/connection/sse?cf_connect=${CONNECT}`, { headers: bad })).status, 403);
  assert.equal((await server.request('POST', '/connection/http_stream', { body: '{"id":1,"connect":{}}', headers: bad })).status, 403);
});

test('HTTP/1.0 clients and clients that ask to keep the connection get a body that ends with it', async (t) => {
  const server = await start(t);
  for (const version of ['1.0', '1.1']) {
    const raw = await server.raw();
    const body = '{"id":1,"connect":{}}';
    raw.send(`POST /connection/http_stream HTTP/${version}\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const text = await raw.wait((got) => (got.includes('"connect"') ? got.toString() : undefined), 'connect reply');
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(text, /\r\nConnection: close\r\n/);
    assert.doesNotMatch(text, /content-length|transfer-encoding/i);
    raw.socket.destroy();
  }
});

/** A server that speaks TLS, on two loops; the harness's own requests do not. */
async function startTls(t) {
  const server = await startCrier({ t, start: false });
  const cert = join(server.dir, 'cert.pem'), key = join(server.dir, 'key.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert,
    '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
  server.config = { debug: { insecure: true }, server: { tls: { cert, key } }, limits: { rate_messages: 0 },
    namespace: [{ name: 'default', publish: true, history: 100 }] };
  server.port = await freePort();
  server.spawn();
  await until(() => /crier ready at https/.test(server.stdout), 'ready over TLS', 20000);
  return server;
}

const tls = { rejectUnauthorized: false };
const SUBSCRIBED = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}';

async function secureMetrics(t, server) {
  const reply = await RawStream.open(t, server, '/metrics', { tls, binary: true, headers: { Connection: 'close' } });
  await reply.closed;
  return parseMetrics(reply.text);
}

test('streams over TLS: publications, a client that vanishes, the end', async (t) => {
  const server = await startTls(t);
  const streams = await Promise.all(Array.from({ length: 8 }, () => // on whatever loop takes them
    RawStream.open(t, server, '/connection/http_stream', { method: 'POST', tls, body: SUBSCRIBED })));
  await Promise.all(streams.map((s) => s.reply(2)));
  const publishes = Array.from({ length: 90 }, (_, i) => `{"id":${i + 2},"publish":{"channel":"a","data":"${'x'.repeat(500)}${i}"}}`);
  const sender = await RawStream.open(t, server, '/connection/http_stream', { method: 'POST', tls, body: `{"id":1,"connect":{}}\n${publishes.join('\n')}` });
  await sender.reply(91);
  for (const s of streams) await until(() => s.messages.filter((m) => m.push?.pub).length === 90, '90 publications');
  assert.equal((await secureMetrics(t, server)).value('crier_streams'), 9);
  sender.close();
  streams.pop().close();
  await until(async () => (await secureMetrics(t, server)).value('crier_streams') === 7, 'seven are left');
  server.ending = true;
  server.child.kill('SIGTERM');
  for (const s of streams) {
    await s.closed;
    assert.deepEqual(s.messages.at(-1), { push: { disconnect: { code: 3001, reason: 'shutdown' } } });
  }
  assert.deepEqual(await server.exited, { code: 0, signal: null });
});

test('the library over a WebSocket with TLS', async (t) => {
  const { Centrifuge } = await import('centrifuge');
  class SecureSocket extends WebSocket {
    constructor(url, protocols) { super(url, protocols, tls); }
  }
  const server = await startTls(t);
  const client = new Centrifuge(`wss://127.0.0.1:${server.port}/connection/websocket`, { websocket: SecureSocket });
  t.after(() => client.disconnect());
  const sub = client.newSubscription('a');
  const got = [];
  sub.on('publication', (ctx) => got.push(ctx.data));
  sub.subscribe();
  client.connect();
  await sub.ready(5000 * slowness);
  for (let i = 0; i < 50; i++) await sub.publish(TEXT + i);
  await until(() => got.length === 50, '50 publications');
  assert.deepEqual(got, Array.from({ length: 50 }, (_, i) => TEXT + i));
});

// ---- sessions

test('commands of several requests are done in the order in which they came', async (t) => {
  const server = await start(t);
  for (const kind of ['sse', 'http_stream']) {
    const stream = await openSession(t, server, { kind, more: [{ id: 2, ping: {} }, { id: 3, subscribe: { channel: 'a' } }] });
    await stream.reply(3);
    for (let id = 10; id < 210; id++) { // each on a connection of its own, on whatever loop takes it
      const reply = await stream.send({ id, ping: {} }, { id: id + 1000, ping: {} });
      assert.equal(reply.status, 204);
    }
    await stream.reply(1209);
    const ids = stream.messages.map((m) => m.id).filter((id) => id >= 10);
    assert.deepEqual(ids, Array.from({ length: 200 }, (_, i) => [i + 10, i + 1010]).flat());
  }
});

test('a session can only be used by who has its whole name', async (t) => {
  const server = await start(t);
  const mine = await openSession(t, server), other = await openSession(t, server);
  const digit = (c) => (c === '0' ? '1' : '0');
  for (const session of [mine.session.slice(0, 16) + other.session.slice(16), mine.session.slice(0, -1) + digit(mine.session.at(-1)),
    mine.session.slice(0, 16), mine.session + '0', mine.session.toUpperCase() === mine.session ? 'x' : mine.session.toUpperCase(),
    '', 'ff' + mine.session.slice(2), mine.session.slice(0, 16) + '0'.repeat(32)])
    assert.equal((await emulate(server, { session, node: mine.node }, '{"id":9,"ping":{}}')).status, 204);
  assert.equal((await mine.send({ id: 10, ping: {} })).status, 204);
  await mine.reply(10);
  assert.equal(mine.messages.length, 2);
  assert.equal(other.messages.length, 1);
  assert.notEqual(mine.session.slice(16), other.session.slice(16));
  const uni = await RawStream.open(t, server, '/connection/uni_sse');
  const { connect } = await uni.message((m) => m.connect);
  await emulate(server, { session: connect.session, node: mine.node }, '{"id":9,"ping":{}}');
  const socket = new WebSocket(`${server.wsUrl}/connection/websocket`);
  t.after(() => socket.terminate());
  await sleep(100);
  assert.equal(uni.messages.length, 1);
});

test('commands in protobuf, also by /emulation', async (t) => {
  const server = await start(t);
  const headers = { 'content-type': 'application/octet-stream' };
  const body1 = Buffer.from([4, 8, 1, 0x22, 0]);
  const stream = await RawStream.open(t, server, '/connection/http_stream', { method: 'POST', headers, body: body1, binary: true });
  const session = (await until(() => /J0([0-9a-f]{48})/.exec(stream.text), 'session'))[1], node = (await openSession(t, server)).node;
  const field = (number, bytes) => Buffer.concat([Buffer.from([number << 3 | 2, bytes.length]), bytes]);
  const body = Buffer.concat([field(1, Buffer.from(node)), field(2, Buffer.from(session)), field(3, Buffer.from([4, 8, 7, 0x5a, 0]))]);
  assert.equal((await server.request('POST', '/emulation', { body, headers })).status, 204);
  await until(() => stream.text.endsWith('\u0004\u0008\u0007b\u0000'), 'reply 7, a ping result: field 12');
  assert.equal((await server.request('POST', '/emulation', { body: Buffer.from([0xff]), headers })).status, 400);
});

test('a client that sends no pong is told so, and its stream ends', async (t) => {
  const server = await start(t, { limits: { ping_ms: '1s', pong_ms: '1s' } });
  const stream = await openSession(t, server);
  await stream.closed;
  assert.deepEqual(stream.messages.slice(1), [{}, { push: { disconnect: { code: 3012, reason: 'no pong' } } }]);
  assert.ok(stream.complete);
  await until(() => idle(server), 'no session left');
});

test('the server API ends a stream with its code and reason', async (t) => {
  const server = await start(t);
  const stream = await openSession(t, server);
  await server.api('disconnect', { user: '', client: stream.client, disconnect: { code: 4321, reason: 'enough' } });
  await stream.closed;
  assert.deepEqual(stream.messages.at(-1), { push: { disconnect: { code: 4321, reason: 'enough' } } });
});

test('SIGTERM ends all streams with 3001, spread over drain_ms', async (t) => {
  const server = await start(t, { server: { drain_ms: '1s' } });
  const streams = await Promise.all(Array.from({ length: 40 }, (_, i) => openSession(t, server, { kind: i % 2 ? 'sse' : 'http_stream' })));
  const begin = Date.now();
  const ends = streams.map((s) => s.closed.then(() => Date.now() - begin));
  await server.stop();
  const times = await Promise.all(ends);
  assert.ok(Math.max(...times) - Math.min(...times) > 150, `${times}`);
  for (const s of streams) assert.deepEqual(s.messages.at(-1), { push: { disconnect: { code: 3001, reason: 'shutdown' } } });
});

// ---- unidirectional

test('uni: SSE, HTTP stream and WebSocket begin with connect and get bare pushes', async (t) => {
  const server = await start(t);
  const subs = JSON.stringify({ subs: { news: {}, 'nowhere:x': {} } });
  const streams = [
    await RawStream.open(t, server, `/connection/uni_sse?cf_connect=${encodeURIComponent(subs)}`),
    await RawStream.open(t, server, '/connection/uni_sse', { method: 'POST', body: subs }),
    await RawStream.open(t, server, '/connection/uni_http_stream', { method: 'POST', body: subs }),
  ];
  for (const how of ['query', 'message']) {
    const socket = new WebSocket(`${server.wsUrl}/connection/uni_websocket${how === 'query' ? `?cf_connect=${encodeURIComponent(subs)}` : ''}`);
    t.after(() => socket.terminate());
    const ws = { messages: [], close: () => socket.close() };
    ws.closed = new Promise((done) => socket.on('close', (code) => { ws.code = code; done(); }));
    socket.on('message', (data) => String(data).split('\n').forEach((line) => ws.messages.push(JSON.parse(line))));
    if (how === 'message') socket.on('open', () => socket.send(subs));
    streams.push(ws);
  }
  for (const s of streams) {
    await until(() => s.messages.length, 'connect');
    const { connect } = s.messages[0];
    assert.ok(connect.client && connect.session && connect.ping === 25);
    assert.equal(connect.pong, undefined);
    assert.equal(connect.node, undefined);
    assert.deepEqual(Object.keys(connect.subs), ['news']);
  }
  await server.api('publish', { channel: 'news', data: { text: TEXT } });
  for (const s of streams) {
    await until(() => s.messages.length > 1, 'publication');
    assert.equal(s.messages[1].channel, 'news');
    assert.deepEqual(s.messages[1].pub.data, { text: TEXT });
  }
  await server.stop();
  for (const s of streams) {
    await s.closed;
    assert.deepEqual(s.messages.at(-1), { disconnect: { code: 3001, reason: 'shutdown' } });
  }
});

test('uni: without a request at all, with a bad one over WebSocket, with a bad token', async (t) => {
  const server = await start(t, { debug: { insecure: false }, auth: { anonymous: true } });
  const stream = await RawStream.open(t, server, '/connection/uni_sse');
  const { connect } = await stream.message((m) => m.connect);
  assert.equal(connect.subs, undefined);
  const socket = new WebSocket(`${server.wsUrl}/connection/uni_websocket?cf_connect=%7Bbad`);
  const [code, reason] = await new Promise((done) => socket.on('close', (...args) => done(args)));
  assert.deepEqual([code, String(reason)], [3501, 'bad request']);
  const refused = await RawStream.open(t, server, '/connection/uni_http_stream', { method: 'POST', body: '{"token":"a.b.c"}' });
  await refused.closed;
  assert.equal(refused.messages[0].disconnect.code, 3500);
});

test('uni: pings come, pongs are not asked for', async (t) => {
  const server = await start(t, { limits: { ping_ms: '1s', pong_ms: '1s' } });
  const stream = await RawStream.open(t, server, '/connection/uni_sse');
  await until(() => stream.messages.length >= 4, 'three pings', 8000);
  assert.deepEqual(stream.messages.slice(1, 4), [{}, {}, {}]);
  assert.ok(!stream.ended);
});

// ---- hostile

test('a flood by /emulation is limited as one on a socket is', async (t) => {
  const server = await start(t, { limits: { rate_messages: 1, rate_burst: 10, rate_strikes: 20 } });
  const stream = await openSession(t, server);
  const bystander = await openSession(t, server);
  const sent = await Promise.all(Array.from({ length: 100 }, (_, i) => stream.send({ id: i + 2, ping: {} })));
  assert.ok(sent.every((reply) => reply.status === 204));
  await stream.closed;
  const done = stream.messages.filter((m) => m.ping).length;
  const refused = stream.messages.filter((m) => m.error?.code === 111).length;
  assert.ok(done >= 8 && done <= 15, `${done} done`);
  assert.ok(refused >= 19 && refused <= 40, `${refused} refused`);
  assert.deepEqual(stream.messages.at(-1).push.disconnect.code, 3013);
  assert.ok((await server.metrics()).value('crier_rate_limited_total') >= 20);
  await bystander.send({ id: 2, ping: {} });
  await bystander.reply(2);
});

test('a reader that does not read costs the server no memory and others nothing', async (t) => {
  const server = await start(t, { server: { send_buffer_bytes: '16KiB' }, namespace: [{ name: 'default', publish: true, history: 10, behind: 'skip' }],
    limits: { rate_messages: 0, frame_log_bytes: '256KiB' } });
  const commands = encodeURIComponent('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}');
  const slow = await server.raw();
  slow.send(`GET /connection/sse?cf_connect=${commands} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await slow.wait((got) => (got.includes('"id":2') ? true : undefined), 'subscribed');
  slow.socket.pause();
  const other = await openSession(t, server, { more: [{ id: 2, subscribe: { channel: 'a' } }] });
  await other.reply(2);
  const before = server.rss();
  const data = 'x'.repeat(10000);
  for (let i = 0; i < 1500; i++) {
    await server.api('publish', { channel: 'a', data: { i, data } });
    if (i % 10 === 9) await until(() => other.messages.filter((m) => m.push?.pub).length === i + 1, `all publications up to ${i} at the other one`);
  }
  if (slowness === 1) assert.ok(server.rss() - before < 12e6, `${(server.rss() - before) / 1e6} MB`);
  const metrics = await server.metrics(); // on a slow machine it may have fallen off the frame log before its socket was full
  assert.equal(metrics.value('crier_clients_behind') || metrics.value('crier_gaps_total'), 1);
  slow.socket.resume();
  // It was promised positions, so it is told to come back with its own instead of being skipped over publications.
  await until(() => slow.received.includes('"unsubscribe":{"code":2500'), 'insufficient state');
  const events = slow.received.toString().split('\r\n\r\n').slice(1).join('\r\n\r\n').trim().split('\n\n');
  for (const event of events.slice(0, slow.ended ? -1 : undefined)) JSON.parse(event.trim().replace(/^data: /, ''));
});

test('streams whose clients vanish or never finish their request leave nothing', async (t) => {
  const server = await start(t, { limits: { handshake_ms: '1s', rate_messages: 0 } });
  const before = server.rss();
  for (const wave of [0, 1]) {
    const sockets = await Promise.all(Array.from({ length: 1000 }, () => RawSocket.connect(server.port)));
    const commands = encodeURIComponent('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}');
    sockets.forEach((s) => s.send(`GET /connection/sse?cf_connect=${commands} HTTP/1.1\r\nHost: a\r\n\r\n`));
    await Promise.all(sockets.map((s) => s.wait((got) => (got.includes('"id":2') ? true : undefined), 'subscribed', 20000 * slowness)));
    assert.equal((await server.metrics()).value('crier_streams'), 1000);
    sockets.forEach((s, i) => (i % 2 ? s.socket.resetAndDestroy() : s.socket.destroy()));
    await until(() => idle(server), `wave ${wave}: no session left`);
  }
  for (const part of ['POST /connection/http_stream HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"id":1', 'GET /connection/sse?cf_con']) {
    const raw = await server.raw();
    raw.send(part);
    await until(() => raw.ended, 'cut', 8000);
  }
  await until(async () => (await server.metrics()).value('crier_connections') <= 1, 'connections');
  if (slowness === 1) assert.ok(server.rss() - before < 60e6, `${(server.rss() - before) / 1e6} MB`);
});

test('streams are connections: limits.connections_per_address and handshakes_per_second hold', async (t) => {
  const server = await start(t, { limits: { connections_per_address: 3, rate_messages: 0 } });
  const streams = [await openSession(t, server), await openSession(t, server), await openSession(t, server)];
  assert.equal((await server.get(`/connection/sse?cf_connect=${CONNECT}`)).status, 429);
  streams[0].close();
  await until(async () => (await server.get('/healthz')).status === 200, 'room again');
  const slow = await start(t, { limits: { handshakes_per_second: 2, rate_messages: 0 } });
  const statuses = await Promise.all(Array.from({ length: 6 }, async () => {
    const s = await RawStream.open(t, slow, `/connection/sse?cf_connect=${CONNECT}`);
    return s.status;
  }));
  assert.ok(statuses.filter((s) => s === 503).length >= 3, `${statuses}`);
});
