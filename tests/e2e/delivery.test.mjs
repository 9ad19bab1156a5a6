// The way of a publication to many sessions: order, gathering, intervals, several loops.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, slowness, startCrier } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const namespace = (more) => [{ name: 'default', publish: true, history: 1000, ...more }];
const numbers = (messages) => messages.map((m) => m.payload.n);
const upTo = (count) => Array.from({ length: count }, (_, i) => i);

async function subscribers(server, count, channel = 'news') {
  return Promise.all(Array.from({ length: count }, async () => {
    const client = await server.typed();
    await client.subscribe(channel);
    return client;
  }));
}

test('ten publications in one burst arrive in order, at every session', async (t) => {
  const server = await startCrier({ t, config: { namespace: namespace() } });
  const clients = await subscribers(server, 20);
  const writer = await server.typed();
  for (const n of upTo(10)) writer.send(TYPE.publish, { channel: 'news', data: { n } });
  for (const client of clients) {
    const messages = await client.publications('news', 10);
    assert.deepEqual(numbers(messages), upTo(10));
    assert.ok(messages.every((m, i) => i === 0 || m.offset > messages[i - 1].offset));
  }
});

test('a burst is gathered: far fewer sends than deliveries', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0 }, namespace: namespace({ gather_ms: 20 }) } });
  const clients = await subscribers(server, 10);
  const writer = await server.typed();
  const before = await server.metrics();
  for (const n of upTo(500)) writer.send(TYPE.publish, { channel: 'news', data: { n } });
  for (const client of clients) assert.deepEqual(numbers(await client.publications('news', 500)), upTo(500));
  const after = await server.metrics();
  const deliveries = after.value('crier_deliveries_total') - before.value('crier_deliveries_total');
  const sends = after.value('crier_sends_total') - before.value('crier_sends_total');
  assert.equal(deliveries, 5000);
  assert.ok(sends <= 1000, `${sends} sends for ${deliveries} deliveries`);
});

test('after a quiet moment a publication leaves at once, whatever gather_ms is', async (t) => {
  const server = await startCrier({ t, config: { namespace: namespace({ gather_ms: 2000 }) } });
  const [client] = await subscribers(server, 1);
  const writer = await server.typed();
  const started = performance.now();
  await writer.publish('news', { n: 0 });
  const [first] = await client.publications('news', 1);
  assert.ok(first.at - started < 500 * slowness, `the first took ${first.at - started} ms`);
  await writer.publish('news', { n: 1 });
  await writer.publish('news', { n: 2 });
  const rest = await client.publications('news', 2);
  assert.ok(rest[0].at - first.at > 1000, 'the second did not wait');
  assert.ok(rest[1].at - rest[0].at < 100 * slowness, 'the third did not come with the second');
});

test('interval_ms delivers at most so often, everything when not keyed', async (t) => {
  const server = await startCrier({ t, config: { namespace: namespace({ interval_ms: 300, gather_ms: 0 }) } });
  const [client] = await subscribers(server, 1);
  const writer = await server.typed();
  for (const n of upTo(40)) {
    writer.send(TYPE.publish, { channel: 'news', data: { n } });
    await sleep(25);
  }
  const messages = await client.publications('news', 40);
  assert.deepEqual(numbers(messages), upTo(40));
  const bursts = messages.filter((m, i) => i === 0 || m.at - messages[i - 1].at > 100);
  assert.ok(bursts.length >= 2 && bursts.length <= 7, `${bursts.length} deliveries in ${messages.at(-1).at - messages[0].at} ms`);
});

test('writers on several sessions: every reader sees the same order', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0 }, namespace: namespace() } });
  const readers = await subscribers(server, 8);
  const writers = await Promise.all(upTo(6).map(() => server.typed()));
  await Promise.all(writers.map(async (writer, w) => {
    for (const n of upTo(50)) await writer.publish('news', { w, n });
  }));
  const seen = await Promise.all(readers.map(async (r) => (await r.publications('news', 300)).map((m) => `${m.payload.w}.${m.payload.n}`)));
  for (const list of seen) assert.deepEqual(list, seen[0]);
  for (const w of upTo(6))
    assert.deepEqual(seen[0].filter((x) => x.startsWith(`${w}.`)), upTo(50).map((n) => `${w}.${n}`));
});

test('many channels on one session each keep their order', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0 }, namespace: namespace() } });
  const reader = await server.typed();
  for (const c of upTo(50)) await reader.subscribe(`c${c}`);
  const writer = await server.typed();
  for (const n of upTo(20)) for (const c of upTo(50)) writer.send(TYPE.publish, { channel: `c${c}`, data: { n } });
  for (const c of upTo(50)) assert.deepEqual(numbers(await reader.publications(`c${c}`, 20)), upTo(20));
});

test('sessions that come and go during a stream disturb nobody', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0 }, namespace: namespace() } });
  const readers = await subscribers(server, 4);
  const writer = await server.typed();
  let streaming = true;
  const churn = (async () => {
    while (streaming) {
      const clients = await subscribers(server, 5);
      clients.forEach((c, i) => (i % 2 ? c.terminate() : c.end()));
    }
  })();
  for (const n of upTo(300)) await writer.publish('news', { n });
  streaming = false;
  await churn;
  for (const reader of readers) assert.deepEqual(numbers(await reader.publications('news', 300)), upTo(300));
});

test('large publications are delivered whole', async (t) => {
  const server = await startCrier({ t, config: { limits: { message_bytes: '4MiB', outbox_bytes: '8MiB', frame_log_bytes: '8MiB' }, namespace: namespace() } });
  const clients = await subscribers(server, 3);
  const writer = await server.typed();
  const pad = 'x'.repeat(3 << 20);
  await writer.publish('news', { pad });
  for (const client of clients) assert.equal((await client.publications('news', 1))[0].payload.pad.length, pad.length);
});
