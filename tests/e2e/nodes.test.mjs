// Several servers on one log: each is a node, the log is what they share.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { runCrier, startCrier, until } from '../lib/crier.mjs';

/** Two nodes that read and write the topic `chat` of one file. */
async function startNodes(t, { limits = {}, source = {}, namespace = {} } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-nodes-'));
  const config = {
    limits,
    bridge: [{ name: 'log', driver: 'embedded', servers: join(dir, 'shared.db') }],
    namespace: [{ name: 'chat', history: 1000, publish: true, ...namespace }],
    source: [{ bridge: 'log', topic: 'chat', from: 'history', channel: 'chat:{key}', ...source }],
    sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
  };
  const nodes = [await startCrier({ t, config }), await startCrier({ t, config })];
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const node of nodes) await until(async () => (await node.get('/readyz')).status === 200, 'ready');
  return nodes;
}

test('clients of two nodes see what both publish, in one order and at the same offsets', async (t) => {
  const nodes = await startNodes(t);
  const readers = await Promise.all(nodes.map((node) => node.typed()));
  for (const reader of readers) await reader.subscribe('chat:lobby');
  const writers = await Promise.all(nodes.map((node) => node.typed()));
  await Promise.all(writers.flatMap((writer, w) => Array.from({ length: 50 }, (_, n) => writer.publish('chat:lobby', { w, n }))));
  const seen = await Promise.all(readers.map((reader) => reader.publications('chat:lobby', 100)));
  const flat = seen.map((list) => list.map((m) => [m.offset, m.payload.w, m.payload.n]));
  assert.deepEqual(flat[0], flat[1]);
  assert.equal(new Set(flat[0].map(([offset]) => offset)).size, 100);
  const epochs = await Promise.all(nodes.map(async (node) => (await node.get('/channels/chat:lobby')).json.epoch));
  assert.equal(epochs[0], epochs[1]);
});

test('a session resumes on another node with exactly what it missed', async (t) => {
  const [first, second] = await startNodes(t, { namespace: { history: 5 } });
  const writer = await second.typed();
  await writer.publish('chat:lobby', { n: 0 });
  const away = await first.typed();
  const { epoch } = await away.subscribe('chat:lobby', { history: 1 });
  const [{ offset }] = await away.publications('chat:lobby', 1);
  await first.kill();
  const stored = [];
  for (let n = 1; n <= 30; n++) stored.push((await writer.publish('chat:lobby', { n })).offset);
  const back = await second.typed();
  const answer = await back.subscribe('chat:lobby', { epoch, offset });
  assert.equal(answer.recovered, true);
  const missed = await back.publications('chat:lobby', 30);
  assert.deepEqual(missed.map((m) => [m.offset, m.payload.n]), stored.map((o, i) => [o, i + 1]));
});

test('a message id is recognised after a restart, and on another node that has read the record', async (t) => {
  const [first, second] = await startNodes(t);
  const send = (node, data) => node.api('publish', { channel: 'chat:lobby', data, idempotency_key: 'order-17' });
  const stored = await send(first, 'once');
  await until(async () => (await second.get('/channels/chat:lobby')).json.publications.length === 1, 'the other node has it');
  assert.equal((await send(second, 'again')).offset, stored.offset);
  await first.kill();
  await first.start();
  assert.equal((await send(first, 'and again')).offset, stored.offset);
  const { publications } = (await second.get('/channels/chat:lobby')).json;
  assert.deepEqual(publications.map((p) => p.data), ['once']);
});

test('a record that no channel can take goes to the dead-letter topic of the log, and the topic goes on', async (t) => {
  const nodes = await startNodes(t, { source: { channel: 'chat:{payload.room}', dead_letter: 'chat.dlq' } });
  const [node] = nodes;
  const writer = await node.typed();
  await writer.publish('chat:a', { room: 'a', n: 1 });
  await writer.publish('chat:a', { n: 2 }); // no room: the template lacks its field
  await writer.publish('chat:a', { room: 'a', n: 3 });
  await until(async () => (await node.get('/channels/chat:a')).json.publications.length === 2, 'both good ones');
  for (const each of nodes)
    await until(async () => (await each.metrics()).value('crier_dead_letters_total') === 1, 'the dead letter is stored');
  assert.deepEqual((await node.get('/channels/chat:a')).json.publications.map((p) => p.data.n), [1, 3]);
  const { stdout } = await runCrier(['log', 'cat', 'chat.dlq', '--json', '-c', node.configPath]);
  const letters = stdout.trim().split('\n').map((line) => JSON.parse(line));
  for (const letter of letters) {
    assert.match(JSON.stringify(letter), /\{\\?"n\\?":2\}/);
    assert.match(JSON.stringify(letter), /dlq\.reason.*dlq\.source\.topic.*chat.*dlq\.source\.offset/);
  }
  assert.equal(letters.length, 2); // one of each node: both read the topic
});

test('a resume over limits.recover comes in pages, from the log and from memory, while others publish', async (t) => {
  for (const history of [5, 100]) {
    const [node] = await startNodes(t, { limits: { recover: 4 }, namespace: { history } });
    const writer = await node.typed();
    await writer.publish('chat:lobby', 0);
    await until(async () => (await node.get('/channels/chat:lobby')).json.publications.length === 1, 'the first is here');
    const { epoch, offset } = (await node.get('/channels/chat:lobby')).json;
    for (let n = 1; n <= 30; n++) await writer.publish('chat:lobby', n);
    const before = (await node.metrics()).value('crier_limit_recover_total');
    const reader = await node.typed();
    const [answer] = await Promise.all([reader.subscribe('chat:lobby', { epoch, offset }), writer.publish('chat:lobby', 31)]);
    assert.equal(answer.recovered, true);
    await writer.publish('chat:lobby', 32);
    const numbers = [];
    for (let n = 1; n <= 32; n++) numbers.push((await reader.next((m) => m.channel)).payload);
    assert.deepEqual(numbers, Array.from({ length: 32 }, (_, i) => i + 1));
    assert.ok((await node.metrics()).value('crier_limit_recover_total') - before >= 6, 'pages');
  }
});
