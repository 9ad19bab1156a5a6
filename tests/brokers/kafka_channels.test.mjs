// The unmodified client library of the channels wire on channels that a real Kafka feeds: its positions are Kafka's.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import { channelsClient, gotPublications, subscribed } from '../lib/channels.mjs';
import { startCrier, startedOrSkipped, until } from '../lib/crier.mjs';
import { startKafka } from '../lib/kafka.mjs';

const run = promisify(execFile);
const config = (kafka) => ({
  limits: { rate_messages: 0 },
  bridge: [{ name: 'kafka', driver: 'kafka', servers: kafka.bootstrap }],
  namespace: [{ name: 'chat', history: 3, publish: true }],
  source: [{ bridge: 'kafka', topic: 'chat', from: 'history', channel: 'chat:{key}' }],
  sink: [{ channel: 'chat:*', bridge: 'kafka', topic: 'chat', key: '{channel.1}' }],
});

test('positions of the channels wire are those of Kafka and one, over SIGKILL and on another node', async (t) => {
  const kafka = await startedOrSkipped(t, startKafka, 'Kafka');
  if (!kafka) return;
  await kafka.createTopic('chat', 2);
  const first = await startCrier({ t, config: config(kafka) });
  const second = await startCrier({ t, config: config(kafka) });
  for (const node of [first, second]) await node.waitUntilReady(30000);

  const client = await channelsClient(t, first);
  const sub = await subscribed(client, 'chat:lobby');
  await subscribed(await channelsClient(t, second), 'chat:other'); // its records lie between those of the lobby, or beside them
  for (let i = 0; i < 5; i++) await sub.publish({ i });
  await gotPublications(sub, 5);
  await first.kill();
  const writer = await channelsClient(t, second);
  for (let i = 5; i < 20; i++) {
    await writer.publish('chat:other', { i });
    await writer.publish('chat:lobby', { i }); // more than memory keeps
  }
  await first.start();
  await first.waitUntilReady(30000);
  const got = await gotPublications(sub, 20);
  assert.deepEqual(got.map((p) => p.data.i), Array.from({ length: 20 }, (_, i) => i));
  assert.ok(got.every((p) => p.info?.client), 'who published came through Kafka');
  const last = sub.seen.filter((e) => e.name === 'subscribed').at(-1);
  assert.deepEqual([last.wasRecovering, last.recovered], [true, true]);

  const { stdout } = await run('kcat', ['-b', kafka.bootstrap, '-C', '-t', 'chat', '-o', 'beginning', '-e', '-q', '-f', '%o %k\n']);
  const offsets = stdout.split('\n').filter((line) => line.endsWith(' lobby')).map((line) => parseInt(line, 10));
  assert.deepEqual(got.map((p) => p.offset), offsets.map((offset) => offset + 1));

  // The second node gives the same client the same, by the position of the first.
  const since = { offset: got[9].offset, epoch: (await sub.history({ limit: 0 })).epoch };
  const moved = await subscribed(await channelsClient(t, second), 'chat:lobby', { since });
  const missed = await gotPublications(moved, 10);
  assert.deepEqual(missed.map((p) => [p.offset, p.data.i]), got.slice(10).map((p) => [p.offset, p.data.i]));
  await until(() => moved.seen.some((e) => e.name === 'subscribed' && e.recovered), 'recovered');
});
