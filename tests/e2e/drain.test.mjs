// The end of a server: SIGTERM drains, a second one cuts, and a restart carries on.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { handshake } from '../lib/raw.mjs';

test('SIGTERM closes all sessions with 1001, spread over the window, and exits 0', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '1500ms' }, limits: { handshakes_per_second: 0 } } });
  const clients = await Promise.all(Array.from({ length: 200 }, () => server.typed()));
  const started = performance.now();
  const times = clients.map((c) => c.closed.then(({ code }) => {
    assert.equal(code, 1001);
    return performance.now() - started;
  }));
  await server.stop(20000);
  const sorted = (await Promise.all(times)).sort((a, b) => a - b);
  if (slowness === 1) assert.ok(sorted[180] - sorted[20] > 300, `not spread: ${sorted[20]} to ${sorted[180]} ms`);
});

test('while it drains the server is not ready and takes no new sessions', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '2s' } } });
  const clients = await Promise.all(Array.from({ length: 10 }, () => server.typed()));
  const kept = await server.raw();
  kept.send('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
  await kept.readHead();
  const stopped = server.stop(20000);
  await sleep(200);
  const late = await server.typed().catch((error) => error);
  assert.ok(late instanceof Error, 'a new session got in');
  assert.ok(late.code === 'ECONNREFUSED' || late.code === 'ECONNRESET' || late.status === 503, String(late));
  await stopped;
  for (const client of clients) assert.equal((await client.closed).code, 1001);
});

test('a publish under way is acknowledged before the end', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '1s' }, limits: { rate_messages: 0 } } });
  const client = await server.typed();
  const answers = Array.from({ length: 200 }, (_, n) => client.publish('news', { n }).catch((error) => error));
  await sleep(2);
  await server.stop(20000);
  const settled = await Promise.all(answers);
  const acknowledged = settled.filter((a) => !(a instanceof Error)).length;
  assert.ok(acknowledged > 0 && settled.every((a) => !(a instanceof Error) || /closed with 1001|shutting down/.test(a.message)), String(settled.find((a) => a instanceof Error)));
});

test('a second SIGTERM cuts at once', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '60s' } } });
  const clients = await Promise.all(Array.from({ length: 20 }, () => server.typed()));
  const stopped = server.stop(30000);
  await sleep(300);
  server.child.kill('SIGTERM');
  await stopped;
  await Promise.all(clients.map((c) => c.closed));
});

test('peers that do not answer the close frame do not hold up the end', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '200ms' } } });
  for (let i = 0; i < 5; i++) await server.rawWebSocket();
  const half = await server.raw();
  half.send(handshake('/ws').slice(0, 40));
  await server.raw();
  await server.stop(20000);
});

test('long polls are answered when the server stops', async (t) => {
  const server = await startCrier({ t, config: { server: { drain_ms: '200ms' } } });
  const { json } = await server.get('/channels/news');
  const poll = server.get(`/channels/news?wait=60&since=${json.epoch}:${json.offset}`).catch((error) => error);
  await sleep(200);
  await server.stop(25000);
  assert.ok(!((await poll) instanceof Error), String(await poll));
});

test('SIGINT ends it like SIGTERM', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed();
  server.ending = true;
  server.child.kill('SIGINT');
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  assert.equal((await client.closed).code, 1001);
});

test('start, stop and start again on the same port, many times', async (t) => {
  const server = await startCrier({ t });
  for (let i = 0; i < 8; i++) {
    const client = await server.typed();
    await client.publish('news', i);
    await server.restart();
  }
  await until(() => server.get('/healthz').then((r) => r.status === 200), 'healthy');
});
