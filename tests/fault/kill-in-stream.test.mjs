// SIGKILL of crier in a stream of publishes: every acknowledged one is there afterwards, once, and readers miss nothing.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, startCrier, until } from '../lib/crier.mjs';
import { Reader, Writer, checkJournal, randomFrom } from '../lib/journal.mjs';
import { TYPE } from '../lib/typed.mjs';

const seed = Number(process.env.SEED ?? Date.now() % 1000000);

test('five times SIGKILL in a stream of publishes into the embedded log', async (t) => {
  t.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed);
  const server = await startCrier({ t, config: {
    limits: { rate_messages: 0, handshakes_per_second: 0 },
    bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
    namespace: [{ name: 'chat', publish: true, history: 200000 }],
    source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
    sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
  } });
  const readers = Array.from({ length: 4 }, () => new Reader(server, 'chat:lobby'));
  await until(() => readers.every((r) => r.position), 'the readers are subscribed');
  const writers = Array.from({ length: 8 }, (_, i) => new Writer(server, 'chat:lobby', `w${i}`));
  for (let round = 0; round < 5; round++) {
    await sleep(300 + random() * 1200);
    await server.kill();
    if (random() < 0.5) await sleep(random() * 300);
    await server.start();
  }
  await sleep(500);
  await Promise.all(writers.map((w) => w.stop()));
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  const stored = publications.map((p) => ({ offset: p.offset, ...p.data }));
  await until(() => readers.every((r) => r.position.offset >= stored.at(-1).offset), 'the readers have everything', 20000);
  await Promise.all(readers.map((r) => r.stop()));
  checkJournal({ writers, readers, stored, seed });
  // Two kills in short succession can be one interruption for a reader.
  const resumes = readers.map((r) => r.resumes);
  assert.ok(resumes.every((n) => n >= 2), `every reader had to resume: ${resumes}`);
  assert.ok(writers.every((w) => w.acknowledged.length > 20));
  t.diagnostic(`${stored.length} stored, resumes ${resumes}`);
});

test('SIGKILL in the middle of one large batch: every acknowledged one is there, where it said, in order', async (t) => {
  const config = { limits: { rate_messages: 0 }, bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
    namespace: [{ name: 'chat', publish: true, history: 100000 }],
    source: [{ bridge: 'log', topic: 'chat', channel: 'chat:lobby', from: 'history' }],
    sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: 'k' }] };
  const server = await startCrier({ t, config });
  const client = await server.typed();
  const acknowledged = new Map();
  client.onMessage = (m) => {
    if (m.type === TYPE.ok) acknowledged.set(Number(m.id), m.payload.ok.offset);
    return true;
  };
  for (let n = 1; n <= 20000; n++) client.send(TYPE.publish, { channel: 'chat:lobby', data: n }, n);
  await until(() => acknowledged.size > 500, 'some are acknowledged');
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  const stored = new Map(publications.map((p) => [p.data, p.offset]));
  assert.equal(stored.size, publications.length, 'one is stored twice');
  for (const [n, offset] of acknowledged) assert.equal(stored.get(n), offset, `${n} was acknowledged at ${offset}`);
  const order = publications.map((p) => p.data);
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
  t.diagnostic(`${acknowledged.size} acknowledged, ${stored.size} stored`);
});
