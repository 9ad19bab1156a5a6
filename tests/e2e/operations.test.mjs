// What an operator looks at: health, readiness, metrics.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier, until } from '../lib/crier.mjs';
import { handshake } from '../lib/raw.mjs';

test('a server that serves is healthy and ready', async (t) => {
  const server = await startCrier({ t });
  assert.equal((await server.get('/healthz')).status, 200);
  const ready = await server.get('/readyz');
  assert.equal(ready.status, 200);
  assert.deepEqual(ready.json, { ready: true, reasons: [] });
});

test('a bridge that is away: the server runs, /readyz is 503 and says why', async (t) => {
  const server = await startCrier({ t, config: { bridge: [{ name: 'field', driver: 'mqtt', servers: 'tcp://127.0.0.1:9' }],
    source: [{ bridge: 'field', topic: 'a/#', channel: 'news' }] } });
  assert.equal((await server.get('/healthz')).status, 200);
  const reply = await server.get('/readyz');
  assert.equal(reply.status, 503);
  assert.equal(reply.json.ready, false);
  assert.match(JSON.stringify(reply.json.reasons), /field/);
  const metrics = await server.metrics();
  assert.equal(metrics.value('crier_bridge_ready', { bridge: 'field' }), 0);
  const client = await server.typed();
  await client.subscribe('other');
});

test('metrics are Prometheus text: every family has help and type, no sample twice', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed();
  await client.subscribe('news');
  await client.publish('news', 1);
  const reply = await server.get('/metrics');
  assert.match(reply.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const metrics = await server.metrics();
  assert.deepEqual(metrics.bad, []);
  const families = new Set();
  for (const line of reply.text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (!type) continue;
    assert.ok(!families.has(type[1]), `${type[1]} comes twice`);
    assert.match(type[2], /^(counter|gauge|histogram|summary|untyped)$/);
    assert.match(reply.text, new RegExp(`^# HELP ${type[1]} \\S`, 'm'));
    families.add(type[1]);
  }
  const seen = new Set();
  for (const { name, labels } of metrics.samples) {
    assert.ok(families.has(name) || families.has(name.replace(/_(bucket|sum|count)$/, '')), `${name} has no type`);
    const sample = name + JSON.stringify(labels);
    assert.ok(!seen.has(sample), `${sample} comes twice`);
    seen.add(sample);
  }
});

test('counters count what happened', async (t) => {
  const server = await startCrier({ t });
  const clients = [await server.typed(), await server.typed()];
  for (const client of clients) await client.subscribe('news');
  for (let n = 0; n < 10; n++) await clients[0].publish('news', { n });
  for (const client of clients) await client.publications('news', 10);
  const m = await server.metrics();
  const expected = { crier_sessions: 2, crier_subscriptions: 2, crier_handshakes_total: 2, crier_publications_total: 10, crier_publishes_total: 10,
    crier_publishes_failed_total: 0, crier_deliveries_total: 20, crier_messages_in_total: 12, crier_channels: 1, crier_publishes_pending: 0 };
  for (const [name, value] of Object.entries(expected)) assert.equal(m.value(name), value, name);
  assert.ok(m.value('crier_bytes_in_total') > 100 && m.value('crier_bytes_out_total') > 100);
  assert.equal(m.value('crier_publish_latency_milliseconds_count'), 10);
  assert.ok(m.value('crier_loop_turn_microseconds_count') > 0);
  await clients[0].end(4321);
  clients[1].terminate();
  const after = await until(async () => {
    const now = await server.metrics();
    return now.value('crier_sessions') === 0 && now;
  }, 'both sessions gone');
  assert.equal(after.value('crier_closes_total', { code: 1006 }), 1);
  assert.equal(after.value('crier_closes_total'), 2);
  assert.equal(after.value('crier_subscriptions'), 0);
});

test('refusals and HTTP errors are counted', async (t) => {
  const server = await startCrier({ t });
  const before = await server.metrics();
  const socket = await server.raw();
  socket.send(handshake('/ws', { 'Sec-WebSocket-Version': '8' }));
  await socket.readHead();
  assert.equal((await server.get('/nothing')).status, 404);
  const after = await server.metrics();
  assert.equal(after.value('crier_handshakes_refused_total') - before.value('crier_handshakes_refused_total'), 1);
  assert.ok(after.value('crier_http_errors_total') - before.value('crier_http_errors_total') >= 1);
  assert.ok(after.value('crier_http_requests_total') > before.value('crier_http_requests_total'));
});

test('unknown paths are JSON errors', async (t) => {
  const server = await startCrier({ t });
  const reply = await server.get('/nothing');
  assert.equal(reply.status, 404);
  assert.ok(reply.json.error.message);
});
