// Channels kept by the embedded log: what was acknowledged survives SIGKILL, and clients resume where they were.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier } from '../lib/crier.mjs';

const config = (more = {}) => ({
  server: { drain_ms: 200 }, limits: { rate_messages: 0 },
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
  namespace: [{ name: 'chat', publish: true, history: 1000, ...more }],
  source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
  sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
});

const numbers = (messages) => messages.map((m) => m.payload.n);
const from = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

async function publishAll(server, first, last, channel = 'chat:lobby') {
  const client = await server.typed();
  const positions = [];
  for (const n of from(first, last)) positions.push(await client.publish(channel, { n }));
  await client.end();
  return positions;
}

test('history and positions are the same after a clean restart', async (t) => {
  const server = await startCrier({ t, config: config() });
  const positions = await publishAll(server, 1, 20);
  const before = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  await server.restart();
  await server.waitUntilReady();
  const after = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  assert.deepEqual(after, before);
  assert.equal(after.offset, positions.at(-1).offset);
  assert.equal(after.epoch, positions.at(-1).epoch);
});

test('SIGKILL: a session resumes with exactly what it missed', async (t) => {
  const server = await startCrier({ t, config: config() });
  const client = await server.typed();
  await client.subscribe('chat:lobby');
  await publishAll(server, 1, 10);
  const seen = await client.publications('chat:lobby', 10);
  const [{ epoch }] = await publishAll(server, 11, 15);
  await server.kill();
  await server.start();
  await publishAll(server, 16, 20);
  const again = await server.typed();
  const subscribed = await again.subscribe('chat:lobby', { epoch, offset: seen[9].offset });
  assert.equal(subscribed.recovered, true);
  assert.deepEqual(numbers(await again.publications('chat:lobby', 10)), from(11, 20));
});

test('what memory does not have is read back from the log', async (t) => {
  const server = await startCrier({ t, config: config({ history: 5 }) });
  const positions = await publishAll(server, 1, 100);
  await publishAll(server, 1, 50, 'chat:other');
  const client = await server.typed();
  const subscribed = await client.subscribe('chat:lobby', { epoch: positions[0].epoch, offset: positions[9].offset });
  assert.equal(subscribed.recovered, true);
  assert.deepEqual(numbers(await client.publications('chat:lobby', 90)), from(11, 100));
  await client.expectSilence(50);
});

test('channels of one topic share its offsets, and each is complete', async (t) => {
  const server = await startCrier({ t, config: config() });
  const client = await server.typed();
  const rooms = ['a', 'b', 'c'];
  for (const room of rooms) await client.subscribe(`chat:${room}`);
  const offsets = [];
  for (const n of from(1, 30)) offsets.push((await client.publish(`chat:${rooms[n % 3]}`, { n })).offset);
  assert.equal(new Set(offsets).size, 30);
  for (const [i, room] of rooms.entries())
    assert.deepEqual(numbers(await client.publications(`chat:${room}`, 10)), from(1, 30).filter((n) => n % 3 === i));
});

test('an acknowledgement names partition, offset and epoch, and comes only when the record is in the log', async (t) => {
  const server = await startCrier({ t, config: config() });
  const [position] = await publishAll(server, 1, 1);
  assert.equal(typeof position.partition, 'number');
  assert.equal(typeof position.offset, 'number');
  assert.ok(position.epoch.length > 0);
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  assert.deepEqual(publications.map((p) => [p.offset, p.data.n]), [[position.offset, 1]]);
});

test('a channel without a bridge starts anew after a restart, and says so by its epoch', async (t) => {
  const server = await startCrier({ t, config: { namespace: [{ name: 'default', publish: true, history: 100 }] } });
  const [{ epoch, offset }] = await publishAll(server, 1, 1, 'news');
  await server.restart();
  const client = await server.typed();
  const subscribed = await client.subscribe('news', { epoch, offset });
  assert.equal(subscribed.recovered, false);
  assert.notEqual(subscribed.epoch, epoch);
});

test('polls and their positions survive a restart', async (t) => {
  const server = await startCrier({ t, config: config() });
  await publishAll(server, 1, 3);
  const { json } = await server.get('/channels/chat:lobby');
  await server.kill();
  await server.start();
  await publishAll(server, 4, 5);
  const reply = await server.get(`/channels/chat:lobby?since=${json.epoch}:${json.offset}`);
  assert.deepEqual([reply.json.recovered, reply.json.publications.map((p) => p.data.n)], [true, [4, 5]]);
});

test('the server is ready only when the history is there', async (t) => {
  const server = await startCrier({ t, config: config() });
  await publishAll(server, 1, 500);
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  assert.equal(publications.length, 500);
});

test('two hundred publishes at once share few disk syncs and are all there', async (t) => {
  const server = await startCrier({ t, config: config() });
  const clients = await Promise.all(from(1, 10).map(() => server.typed()));
  const acknowledged = await Promise.all(clients.flatMap((client, c) => from(1, 20).map((n) => client.publish('chat:lobby', { n: c * 100 + n }))));
  assert.equal(new Set(acknowledged.map((a) => a.offset)).size, 200);
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const { publications } = await server.api('history', { channel: 'chat:lobby', limit: -1 });
  assert.equal(publications.length, 200);
});
