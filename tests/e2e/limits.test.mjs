// Bounds on what a client can make grow: each is met at its edge, answered as documented and counted.
import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { OPCODE, frame, handshake } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

const pingOf = (size) => {
  const empty = JSON.stringify({ type: TYPE.ping, payload: { pad: '' } });
  return JSON.stringify({ type: TYPE.ping, payload: { pad: 'x'.repeat(size - empty.length) } });
};

test('a message of message_bytes is accepted, one byte more closes 1009 at its header', async (t) => {
  const server = await startCrier({ t, config: { limits: { message_bytes: 1000 } } });
  const good = await server.rawWebSocket();
  good.sendText(pingOf(1000));
  assert.equal(JSON.parse((await good.readFrame()).payload).type, TYPE.ok);
  const bad = await server.rawWebSocket();
  bad.send(frame({ payload: pingOf(1001) }).subarray(0, 8)); // header and mask only: the payload never comes
  await bad.expectClose(1009);
  const fragmented = await server.rawWebSocket();
  fragmented.sendFrame({ fin: false, payload: 'x'.repeat(600) });
  fragmented.sendFrame({ opcode: 0, payload: 'x'.repeat(401) });
  await fragmented.expectClose(1009);
  assert.equal((await server.metrics()).value('crier_limit_message_bytes_total'), 2);
});

test('too many fragments close 1008', async (t) => {
  const server = await startCrier({ t, config: { limits: { fragments: 100, rate_messages: 0 } } });
  const ws = await server.rawWebSocket();
  const list = Array.from({ length: 10000 }, (_, i) => frame({ fin: false, opcode: i ? 0 : 1, payload: 'x' }));
  ws.send(Buffer.concat(list));
  await ws.expectClose(1008);
  assert.equal((await server.metrics()).value('crier_limit_fragments_total'), 1);
  const fine = await server.rawWebSocket();
  const text = JSON.stringify({ type: TYPE.ping, payload: {} });
  for (let i = 0; i < 20; i++) fine.sendFrame({ fin: i === 19, opcode: i ? 0 : 1, payload: text.slice(i * 2, i === 19 ? undefined : i * 2 + 2) });
  assert.equal(JSON.parse((await fine.readFrame()).payload).type, TYPE.ok);
});

test('empty fragments count, too', async (t) => {
  const server = await startCrier({ t, config: { limits: { fragments: 100, rate_messages: 0 } } });
  const ws = await server.rawWebSocket();
  ws.send(Buffer.concat(Array.from({ length: 200 }, (_, i) => frame({ fin: false, opcode: i ? 0 : 1 }))));
  await ws.expectClose(1008);
});

test('a message that does not end within message_ms closes 1008', async (t) => {
  const server = await startCrier({ t, config: { limits: { message_ms: 300 } } });
  const ws = await server.rawWebSocket();
  ws.sendFrame({ fin: false, payload: 'x' });
  await ws.expectClose(1008, 5000 * slowness);
});

test('a deflate bomb closes 1009 without the memory', async (t) => {
  const server = await startCrier({ t, config: { debug: { echo: true } } });
  const ws = await server.rawWebSocket('/ws/echo', { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
  assert.match(ws.head.headers['sec-websocket-extensions'], /permessage-deflate/);
  const bomb = deflateRawSync(Buffer.alloc(512 << 20), { level: 9 }); // the echo endpoint takes 16 MiB
  assert.ok(bomb.length < 1 << 20);
  const before = server.rss();
  ws.sendFrame({ rsv: 4, opcode: OPCODE.binary, payload: bomb });
  await ws.expectClose(1009, 20000);
  if (slowness === 1) assert.ok(server.rss() - before < 40 << 20, `grew by ${server.rss() - before} bytes`);
});

test('the typed wire does not take compression: RSV1 is a violation there', async (t) => {
  const server = await startCrier({ t });
  const ws = await server.rawWebSocket('/ws', { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
  assert.equal(ws.head.headers['sec-websocket-extensions'], undefined);
  ws.sendFrame({ rsv: 4, payload: deflateRawSync('{}') });
  await ws.expectClose(1002);
});

test('JSON nested deeper than json_depth is an error, the session stays', async (t) => {
  const server = await startCrier({ t, config: { limits: { message_bytes: '1MiB' } } });
  const client = await server.typed({ form: 'string' });
  for (const depth of [33, 100000]) {
    client.ws.send(`{"type":1,"payload":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    const { payload } = await client.nextType(TYPE.error);
    assert.match(payload.error.message, /deep/, `depth ${depth}`);
  }
  assert.equal((await client.request(TYPE.ping, '{}')).type, TYPE.ok);
});

test('slow request heads are cut at handshake_ms while others get in', async (t) => {
  const server = await startCrier({ t, config: { limits: { handshake_ms: 3000 } } });
  const slow = await Promise.all(Array.from({ length: 500 }, () => server.raw()));
  const drip = setInterval(() => slow.forEach((s) => !s.ended && s.send('G')), 200);
  await sleep(300);
  const client = await server.typed();
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
  assert.ok(!slow.some((s) => s.ended), 'a normal client waited');
  await until(() => slow.every((s) => s.ended), 'all slow ones cut');
  clearInterval(drip);
  assert.equal((await server.metrics()).value('crier_limit_handshake_timeouts_total'), 500);
});

test('a silent connection is cut at handshake_ms', async (t) => {
  const server = await startCrier({ t, config: { limits: { handshake_ms: 300 } } });
  const socket = await server.raw();
  await socket.closed(5000 * slowness);
});

test('a slow body is cut', async (t) => {
  const server = await startCrier({ t, config: { limits: { handshake_ms: 500, keepalive_ms: 500 } } });
  const socket = await server.raw();
  socket.send('POST /api/publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{');
  await socket.closed(20000);
});

test('connections of one address over the limit are refused with Retry-After; one that closes makes room', async (t) => {
  const server = await startCrier({ t, config: { limits: { connections_per_address: 20 } } });
  const clients = [];
  for (let i = 0; i < 20; i++) clients.push(await server.typed());
  const extra = await server.raw();
  extra.send(handshake('/ws'));
  const head = await extra.readHead();
  assert.ok([429, 503].includes(head.status), `got ${head.status}`);
  assert.ok(Number(head.headers['retry-after']) > 0, 'no Retry-After');
  await extra.closed();
  await clients[0].end();
  const client = await until(() => server.typed().catch(() => null), 'room for one more');
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
  await clients[1].end();
  await until(async () => (await server.metrics().catch(() => null))?.value('crier_limit_connections_address_total') >= 1, 'the metric');
});

test('connections over the limit in all get 503', async (t) => {
  const server = await startCrier({ t, config: { limits: { connections: 10 } } });
  const clients = [];
  for (let i = 0; i < 10; i++) clients.push(await server.typed());
  const extra = await server.raw();
  extra.send(handshake('/ws'));
  assert.equal((await extra.readHead()).status, 503);
  await extra.closed();
  await clients[0].end();
  await until(() => server.typed().catch(() => null), 'room for one more');
});

test('messages over the rate get an error each, then 1008; others do not notice', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 50, rate_burst: 50, rate_strikes: 100 } } });
  const other = await server.typed();
  const loud = await server.typed();
  for (let i = 0; i < 400; i++) loud.send(TYPE.ping, {}, String(i));
  const { code } = await loud.closed;
  assert.equal(code, 1008);
  const ok = loud.messages.filter((m) => m.type === TYPE.ok);
  const errors = loud.messages.filter((m) => m.type === TYPE.error);
  assert.ok(ok.length >= 50 && ok.length < 100, `${ok.length} accepted`);
  assert.ok(errors.length >= 90, `${errors.length} refused with an error`);
  assert.ok(errors.every((m) => m.payload.error.code === 111 && m.payload.error.temporary === true && m.id !== undefined));
  assert.equal((await other.request(TYPE.ping, {})).type, TYPE.ok);
  assert.ok((await server.metrics()).value('crier_rate_limited_total') >= 100);
});

test('pings count against the rate', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 50, rate_burst: 50, rate_strikes: 20 } } });
  const ws = await server.rawWebSocket();
  ws.send(Buffer.concat(Array.from({ length: 200 }, () => frame({ opcode: OPCODE.ping }))));
  await ws.expectClose(1008);
});

test('a session that keeps to the rate is never refused', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 100, rate_burst: 10 } } });
  const client = await server.typed();
  for (let i = 0; i < 60; i++) {
    assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
    await sleep(12);
  }
});

test('subscriptions over the limit get an error, the session stays', async (t) => {
  const server = await startCrier({ t, config: { limits: { subscriptions: 5 } } });
  const client = await server.typed();
  for (let i = 0; i < 5; i++) await client.subscribe(`c${i}`);
  await assert.rejects(client.subscribe('c5'), { code: 106 });
  await client.request(TYPE.unsubscribe, { channel: 'c0' });
  await client.subscribe('c5');
  assert.equal((await server.metrics()).value('crier_limit_subscriptions_total'), 1);
});

test('channel names: length and characters are checked, nothing gets into metrics or logs', async (t) => {
  const server = await startCrier({ t, config: { limits: { channel_name_bytes: 20 } } });
  const client = await server.typed();
  await client.subscribe('x'.repeat(20));
  for (const name of ['x'.repeat(21), '', 'a b', 'a"b', 'a\nb', 'a\u001b[31mb', 'a{b}', 'ü', 'a+', 'a/../b', 'a*', '$share', 'nowhere:x'])
    await assert.rejects(client.subscribe(name), (error) => error.code >= 100, `name ${JSON.stringify(name)}`);
  const metrics = await server.metrics();
  assert.deepEqual(metrics.bad, []);
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
});

test('channels over the limit are refused, those that exist still work', async (t) => {
  const server = await startCrier({ t, config: { limits: { channels: 10 } } });
  const client = await server.typed();
  for (let i = 0; i < 10; i++) await client.subscribe(`c${i}`);
  await assert.rejects(client.subscribe('one-more'), { code: 106 });
  await client.publish('c3', { n: 1 });
  assert.deepEqual((await client.publications('c3', 1))[0].payload, { n: 1 });
});

test('a body over body_bytes gets 413', async (t) => {
  const server = await startCrier({ t, config: { limits: { body_bytes: 1024 } } });
  const reply = await server.request('POST', '/api/publish', { body: 'x'.repeat(1025), headers: { 'X-API-Key': 'k' } });
  assert.equal(reply.status, 413);
  const socket = await server.raw();
  socket.send('POST /api/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n');
  assert.equal((await socket.readHead()).status, 413);
  await socket.closed();
});

test('with no file descriptors left new connections are refused and the server recovers', async (t) => {
  const server = await startCrier({ t });
  spawnSync('prlimit', [`--pid=${server.pid}`, '--nofile=64:64']);
  const sockets = [];
  for (let i = 0; i < 150; i++) sockets.push(await server.raw());
  const { utime } = cpuTime(server.pid);
  await sleep(1000);
  const spent = cpuTime(server.pid).utime - utime;
  assert.ok(spent < 30, `${spent} ticks of CPU in one second of being full`);
  sockets.forEach((s) => s.terminate());
  await until(() => server.typed().then((c) => c.request(TYPE.ping, {})).catch(() => null), 'a client gets in again', 15000);
});

function cpuTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return { utime: Number(fields[11]) + Number(fields[12]) };
}
