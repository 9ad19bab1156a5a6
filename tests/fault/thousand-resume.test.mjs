// A thousand sessions that lose their connection and their server: nothing missing, nothing doubled, in order.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, startCrier, until } from '../lib/crier.mjs';
import { Reader, Writer, checkJournal, randomFrom } from '../lib/journal.mjs';

const seed = Number(process.env.SEED ?? Date.now() % 1000000);
const SESSIONS = 1000;

async function storm(t, config, faults) {
  t.diagnostic(`SEED=${seed}`);
  const server = await startCrier({ t, config: { limits: { rate_messages: 0, handshakes_per_second: 0 }, log: { level: 'info' }, ...config } });
  const readers = Array.from({ length: SESSIONS }, () => new Reader(server, 'chat:lobby'));
  await until(() => readers.every((r) => r.position), 'a thousand are subscribed', 30000);
  const writer = new Writer(server, 'chat:lobby', 'w');
  await faults({ server, readers, random: randomFrom(seed) });
  await writer.stop();
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  const stored = publications.map((p) => ({ offset: p.offset, ...p.data }));
  await until(() => readers.every((r) => r.position.offset >= stored.at(-1).offset), 'all have everything', 60000);
  await Promise.all(readers.map((r) => r.stop()));
  checkJournal({ writers: [writer], readers, stored, seed });
  t.diagnostic(`${stored.length} stored, ${readers.reduce((sum, r) => sum + r.resumes, 0)} resumes`);
  return readers;
}

test('a thousand sessions are cut, all at once and one by one, in a stream', async (t) => {
  const readers = await storm(t, { namespace: [{ name: 'chat', publish: true, history: 100000 }] }, async ({ readers, random }) => {
    for (let round = 0; round < 3; round++) {
      await sleep(300);
      readers.forEach((r) => r.drop());
      await until(() => readers.every((r) => r.resumes > round), 'all are back', 60000);
    }
    for (let i = 0; i < 500; i++) {
      readers[Math.floor(random() * SESSIONS)].drop();
      await sleep(2);
    }
  });
  assert.ok(readers.every((r) => r.resumes >= 3));
});

test('the server is killed under a thousand sessions', async (t) => {
  const readers = await storm(t, {
    bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
    namespace: [{ name: 'chat', publish: true, history: 100000 }],
    source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
    sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
  }, async ({ server, readers }) => {
    for (let round = 0; round < 2; round++) {
      await sleep(700);
      await server.kill();
      await server.start();
      await until(() => readers.every((r) => r.resumes > round), 'all are back', 60000);
    }
    await sleep(300);
  });
  assert.ok(readers.every((r) => r.resumes >= 2));
});
