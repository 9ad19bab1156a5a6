// Relays from MQTT while the broker on the other side stands still: memory is bounded, and what happens at the bound.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep, startCrier, until } from '../lib/crier.mjs';
import { missing, pubLines, startMosquitto, sub } from '../lib/mosquitto.mjs';

const WINDOW = 64 * 1024;
const payload = (n, size = 200) => `${n} ${'x'.repeat(size)}`;
const LARGE = 4096; // what the sockets take from QoS 0 before anything waits is a fraction of 2000 of these

async function world(t, relay, options = {}) {
  const [from, to] = [await startMosquitto(), await startMosquitto()];
  t.after(async () => { await from.stop(); await to.stop(); });
  const crier = await startCrier({ t, config: {
    bridge: [{ name: 'from', driver: 'mqtt', servers: from.url, options },
      { name: 'to', driver: 'mqtt', servers: to.url, options: { max_inflight: 10 } }],
    relay: [{ from_bridge: 'from', from_topic: 'in/#', to_bridge: 'to', to_topic: 'out', window_bytes: WINDOW, ...relay }],
  } });
  await crier.waitUntilReady(30000);
  const arrived = await sub(to, 'out', '-q', '1', '-F', '%p');
  t.after(() => arrived.stop());
  const value = async (name) => (await crier.metrics()).value(`crier_relay_${name}`);
  return { from, to, crier, value, numbers: () => new Set(arrived.lines.map((line) => parseInt(line))) };
}

test('QoS 0: what does not fit is dropped and counted, the rest arrives', { skip: missing }, async (t) => {
  const w = await world(t, { qos: 0 });
  w.to.pause();
  for (let round = 0; round < 4; round++) {
    pubLines(w.from, 'in/a', Array.from({ length: 500 }, (_, n) => payload(round * 500 + n, LARGE)), '-q', '0');
    await sleep(200);
    assert.ok((await w.value('under_way_bytes')) < WINDOW + 2 * LARGE, 'bounded');
  }
  await until(async () => (await w.value('dropped_total')) + (await w.value('records_total')) + (await w.value('under_way')) === 2000, 'all of them seen');
  assert.equal((await w.crier.get('/readyz')).status, 200, 'the connection upstream is as it was');
  const dropped = await w.value('dropped_total');
  assert.ok(dropped > 0);
  w.to.cont();
  await until(async () => (await w.value('under_way')) === 0, 'nothing under way', 60000);
  assert.equal(await w.value('dropped_total'), dropped);
  assert.equal(await w.value('records_total'), 2000 - dropped);
  assert.match(w.crier.stderr, /relay: full, and upstream cannot wait/);
});

test('QoS 1: upstream keeps what does not fit, and all of it arrives', { skip: missing }, async (t) => {
  const w = await world(t, { qos: 1 }, { receive_queue: 100, keepalive: '2s' });
  w.to.pause();
  for (let round = 0; round < 4; round++) {
    pubLines(w.from, 'in/a', Array.from({ length: 500 }, (_, n) => payload(round * 500 + n)));
    assert.ok((await w.value('under_way_bytes')) < WINDOW + 256 * 1024, 'bounded');
  }
  await until(async () => JSON.stringify(await w.crier.get('/readyz')).includes('receive_queue is full'), 'the driver has left', 20000);
  w.to.cont();
  await until(() => w.numbers().size === 2000, 'all 2000', 60000);
  assert.equal(await w.value('dropped_total'), 0);
});

test('a record that lacks a field goes to the dead letters of the bridge it came from', { skip: missing }, async (t) => {
  const w = await world(t, { qos: 1, to_topic: 'out', key: '{payload.id}', dead_letter: 'bad' });
  const bad = await sub(w.from, 'bad', '-F', '%P|%p');
  t.after(() => bad.stop());
  pubLines(w.from, 'in/a', ['{"id":1}', '{}', '{"id":2}']);
  await until(() => bad.lines.length === 1, 'a dead letter');
  assert.match(bad.lines[0], /dlq\.reason:the record lacks a field of the templates/);
  assert.match(bad.lines[0], /\|\{\}$/);
  await until(async () => (await w.value('records_total')) === 2 && (await w.value('refused_total')) === 1, 'the others are relayed');
});
