// Connections that say nothing: pings, half-open peers, idle limits.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { OPCODE } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

const limits = { ping_ms: 300, pong_ms: 300 };

test('a silent session is pinged and stays when it answers', async (t) => {
  const server = await startCrier({ t, config: { limits: { ...limits, pong_ms: 3000 } } });
  const client = await server.typed();
  let pings = 0;
  client.ws.on('ping', () => pings++);
  await sleep(2500);
  assert.ok(pings >= 2, `${pings} pings in 2.5 s`);
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
});

test('a session that does not answer pings is closed and its subscriptions are freed', async (t) => {
  const server = await startCrier({ t, config: { limits } });
  const client = await server.typed({ autoPong: false });
  await client.subscribe('news');
  const started = performance.now();
  const { code } = await client.closed;
  assert.ok(performance.now() - started < 30000, 'by the configured limits, not by the default ones of 35 s');
  assert.ok([1001, 1006, 3012, 1008].includes(code), `closed with ${code}`);
  const metrics = await server.metrics();
  assert.deepEqual([metrics.value('crier_sessions'), metrics.value('crier_subscriptions'), metrics.value('crier_idle_closed_total')], [0, 0, 1]);
});

test('any byte of the peer counts as a sign of life', async (t) => {
  const server = await startCrier({ t, config: { limits: { ping_ms: 1500, pong_ms: 1500 } } });
  const ws = await server.rawWebSocket();
  for (let i = 0; i < 20; i++) {
    ws.sendFrame({ opcode: OPCODE.pong });
    await sleep(100);
  }
  assert.ok(!ws.ended);
  assert.equal(ws.received.length, 0, 'pinged although it was not silent');
});

test('a half-open peer is noticed: no answer from its machine', async (t) => {
  const server = await startCrier({ t, config: { limits } });
  const ws = await server.rawWebSocket();
  ws.socket.pause(); // reads nothing, answers nothing; the connection itself stays
  await until(async () => (await server.metrics()).value('crier_sessions') === 0, 'the session is gone', 8000);
  ws.terminate();
});

test('idle_ms ends sessions that send no message, pongs do not count', async (t) => {
  const server = await startCrier({ t, config: { limits: { ...limits, idle_ms: 1500 } } });
  const idle = await server.typed();
  const busy = await server.typed();
  const started = performance.now();
  const timer = setInterval(() => busy.send(TYPE.ping, {}), 300);
  t.after(() => clearInterval(timer));
  const { code } = await idle.closed;
  const took = performance.now() - started;
  assert.ok(took > 1200, `closed after ${took} ms`);
  assert.notEqual(code, 1006);
  await sleep(500);
  assert.equal(busy.close, undefined);
});

test('an idle HTTP connection is closed after keepalive_ms', async (t) => {
  const server = await startCrier({ t, config: { limits: { keepalive_ms: 500 } } });
  const socket = await server.raw();
  socket.send('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await socket.readHead()).status, 200);
  const started = performance.now();
  await socket.closed(8000 * slowness);
  assert.ok(performance.now() - started > 300);
});
