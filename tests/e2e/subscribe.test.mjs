// Subscriptions on the typed wire: positions, resume, what is missing, and the end of a subscription.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier, until } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const numbers = (messages) => messages.map((m) => m.payload.n);

/** A server with `count` publications {n} on the channel, and the client that made them. */
async function withHistory(t, count, { namespace = {}, limits = {} } = {}) {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0, ...limits },
    namespace: [{ name: 'default', publish: true, history: 100, ...namespace }] } });
  const writer = await server.typed();
  const positions = [];
  for (let n = 1; n <= count; n++) positions.push(await writer.publish('news', { n }));
  return { server, writer, positions, epoch: positions.at(-1)?.epoch };
}

test('a new subscriber is told the position and gets only what comes after', async (t) => {
  const { server, writer, positions, epoch } = await withHistory(t, 3);
  const client = await server.typed();
  const subscribed = await client.subscribe('news');
  assert.deepEqual(subscribed, { channel: 'news', epoch, offset: positions[2].offset, publications: 0 });
  await writer.publish('news', { n: 4 });
  assert.deepEqual(numbers(await client.publications('news', 1)), [4]);
});

test('history hands over the newest publications in order, then the stream without a gap', async (t) => {
  const { server, writer } = await withHistory(t, 10);
  const client = await server.typed();
  const subscribed = await client.subscribe('news', { history: 4 });
  assert.equal(subscribed.publications, 4);
  await writer.publish('news', { n: 11 });
  assert.deepEqual(numbers(await client.publications('news', 5)), [7, 8, 9, 10, 11]);
  const greedy = await server.typed();
  assert.equal((await greedy.subscribe('news', { history: 1000 })).publications, 11);
});

test('a resume gives exactly what is missing', async (t) => {
  const { server, writer, positions, epoch } = await withHistory(t, 10);
  for (const have of [10, 9, 5, 1]) {
    const client = await server.typed();
    const subscribed = await client.subscribe('news', { epoch, offset: positions[have - 1].offset });
    assert.equal(subscribed.recovered, true);
    assert.equal(subscribed.publications, 10 - have);
    assert.deepEqual(numbers(await client.publications('news', 10 - have)), Array.from({ length: 10 - have }, (_, i) => have + 1 + i));
  }
  const client = await server.typed();
  await client.subscribe('news', { epoch, offset: positions[7].offset });
  await writer.publish('news', { n: 11 });
  const messages = await client.publications('news', 3);
  assert.deepEqual(numbers(messages), [9, 10, 11]);
  const offsets = messages.map((m) => m.offset);
  assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b));
});

test('a resume that cannot be complete says recovered: false', async (t) => {
  const { server, positions, epoch } = await withHistory(t, 20, { namespace: { history: 5 } });
  const cases = {
    'older than the history': { epoch, offset: positions[9].offset },
    'another epoch': { epoch: 'other', offset: positions[19].offset },
    'ahead of the top': { epoch, offset: positions[19].offset + 1000 },
  };
  for (const [what, position] of Object.entries(cases)) {
    const client = await server.typed();
    const subscribed = await client.subscribe('news', position);
    assert.equal(subscribed.recovered, false, what);
    assert.deepEqual([subscribed.epoch, subscribed.offset], [epoch, positions[19].offset], what);
  }
  const client = await server.typed();
  const edge = await client.subscribe('news', { epoch, offset: positions[14].offset });
  assert.equal(edge.recovered, true, 'exactly as far back as the history reaches');
  assert.equal(edge.publications, 5);
  const metrics = await server.metrics();
  assert.deepEqual([metrics.value('crier_recoveries_total'), metrics.value('crier_recoveries_failed_total')], [4, 3]);
});

test('an empty channel has a position that can be resumed from', async (t) => {
  const { server, writer } = await withHistory(t, 0);
  const first = await server.typed();
  const { epoch, offset } = await first.subscribe('news');
  await first.end();
  await writer.publish('news', { n: 1 });
  const again = await server.typed();
  const subscribed = await again.subscribe('news', { epoch, offset });
  assert.equal(subscribed.recovered, true);
  assert.deepEqual(numbers(await again.publications('news', 1)), [1]);
});

test('publishing while sessions resume: each gets every publication once, in order', async (t) => {
  const { server, writer, positions, epoch } = await withHistory(t, 50, { namespace: { history: 1000 } });
  const writing = (async () => {
    for (let n = 51; n <= 300; n++) await writer.publish('news', { n });
  })();
  const clients = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const client = await server.typed();
    await new Promise((done) => setTimeout(done, i * 5));
    assert.equal((await client.subscribe('news', { epoch, offset: positions[9].offset })).recovered, true);
    return client;
  }));
  await writing;
  const wanted = Array.from({ length: 290 }, (_, i) => i + 11);
  for (const client of clients) assert.deepEqual(numbers(await client.publications('news', 290)), wanted);
});

test('subscribing twice is an error, and the first subscription goes on', async (t) => {
  const { server, writer } = await withHistory(t, 1);
  const client = await server.typed();
  await client.subscribe('news');
  await assert.rejects(client.subscribe('news'), { code: 105 });
  await writer.publish('news', { n: 2 });
  assert.deepEqual(numbers(await client.publications('news', 1)), [2]);
  await client.expectSilence(100);
});

test('after unsubscribe nothing comes, and subscribing again works', async (t) => {
  const { server, writer } = await withHistory(t, 1);
  const client = await server.typed();
  await client.subscribe('news');
  assert.equal((await client.request(TYPE.unsubscribe, { channel: 'news' })).type, TYPE.ok);
  await writer.publish('news', { n: 2 });
  await client.expectSilence(100);
  await client.subscribe('news');
  await writer.publish('news', { n: 3 });
  assert.deepEqual(numbers(await client.publications('news', 1)), [3]);
  assert.equal((await client.request(TYPE.unsubscribe, { channel: 'never' })).type, TYPE.ok);
});

test('subscribe and unsubscribe sent without waiting end in the state of the last one', async (t) => {
  const { server, writer } = await withHistory(t, 1);
  const client = await server.typed();
  for (let i = 0; i < 20; i++) {
    client.send(TYPE.subscribe, { channel: 'news' }, `s${i}`);
    client.send(TYPE.unsubscribe, { channel: 'news' }, `u${i}`);
  }
  client.send(TYPE.subscribe, { channel: 'news' }, 'last');
  await client.next((m) => m.id === 'last' && m.type === TYPE.subscribed);
  await writer.publish('news', { n: 2 });
  assert.deepEqual(numbers(await client.publications('news', 1)), [2]);
  await client.expectSilence(100, (m) => m.channel === 'news');
  assert.equal((await server.metrics()).value('crier_subscriptions'), 1);
});

test('subscriptions end with their session', async (t) => {
  const { server } = await withHistory(t, 1);
  const clients = [];
  for (let i = 0; i < 10; i++) {
    clients.push(await server.typed());
    await clients[i].subscribe('news');
  }
  assert.equal((await server.metrics()).value('crier_subscriptions'), 10);
  clients.slice(0, 5).forEach((c) => c.terminate());
  await Promise.all(clients.slice(5).map((c) => c.end()));
  await until(async () => (await server.metrics()).value('crier_sessions') === 1, 'only the writer is left');
  assert.equal((await server.metrics()).value('crier_subscriptions'), 0);
});

test('history is bounded by age', async (t) => {
  const { server, writer, positions, epoch } = await withHistory(t, 3, { namespace: { history_ttl: 1000 } });
  await until(async () => {
    const { publications } = await server.api('history', { channel: 'news', limit: -1 });
    return publications.length === 0;
  }, 'the history is empty');
  await writer.publish('news', { n: 4 });
  const client = await server.typed();
  const subscribed = await client.subscribe('news', { epoch, offset: positions[0].offset });
  assert.equal(subscribed.recovered, false);
});

test('a namespace without history delivers live, and a resume is complete or says that it is not', async (t) => {
  const { server, writer } = await withHistory(t, 2, { namespace: { history: 0 } });
  const client = await server.typed();
  const { epoch, offset } = await client.subscribe('news');
  for (const n of [3, 4]) await writer.publish('news', { n });
  assert.deepEqual(numbers(await client.publications('news', 2)), [3, 4]);
  for (let i = 0; i < 10; i++) {
    const other = await server.typed();
    const { recovered } = await other.subscribe('news', { epoch, offset });
    if (recovered) assert.deepEqual(numbers(await other.publications('news', 2)), [3, 4], 'from the frames that its loop still has');
    else await other.expectSilence(20);
    await other.end();
  }
  await client.end();
  await writer.publish('news', { n: 5 });
  const late = await server.typed();
  assert.equal((await late.subscribe('news', { epoch, offset })).recovered, false);
});

test('who is here: presence, join and leave', async (t) => {
  const { server } = await withHistory(t, 0, { namespace: { presence: true, join_leave: true } });
  const watcher = await server.typed();
  await watcher.subscribe('news');
  const other = await server.typed();
  await other.subscribe('news');
  const joined = await watcher.next((m) => m.type === TYPE.join && m.payload.session !== undefined);
  const count = async () => (await watcher.request(TYPE.presence, { channel: 'news' })).payload.presence.length;
  assert.equal(await count(), 2);
  other.terminate();
  const mine = (m) => m.type === TYPE.leave;
  assert.equal((await watcher.next(mine)).payload.channel, joined.payload.channel);
  assert.equal(await count(), 1);
});
