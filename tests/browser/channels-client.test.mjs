// The client of the channels wire of web/lib in Node, against the real server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { Backoff } from '../../web/lib/crier.mjs';
import { ChannelsClient } from '../../web/lib/channels.mjs';
import { API_KEY, sleep, startCrier, until } from '../lib/crier.mjs';

const start = (t, more = {}) => startCrier({ t, config: {
  bridge: [{ name: 'queue', driver: 'embedded', servers: 'data/log.db' }],
  namespace: [
    { name: 'default', publish: true, history: 100, presence: true, join_leave: true },
    { name: 'log', history: 5, publish: true },
    { name: 'closed', history: 10, read_history: false },
    { name: 'table', keyed: true, history: 1000, map_publish: true, map_remove: true },
    { name: 'flash', keyed: true, map: 'ephemeral', key_ttl: '60s', map_publish: true },
  ],
  source: [{ bridge: 'queue', topic: 'log', from: 'history', channel: 'log:{key}' }],
  sink: [{ channel: 'log:*', bridge: 'queue', topic: 'log', key: '{channel.1}' }],
  ...more,
} });

function connect(t, server, options = {}) {
  const client = new ChannelsClient(`${server.wsUrl}/connection/websocket`, { WebSocket, backoff: new Backoff({ random: () => 0 }), ...options });
  client.states = [];
  client.addEventListener('state', ({ detail }) => client.states.push(detail));
  t.after(() => client.close());
  client.connect();
  return client;
}

const opened = (client) => until(() => client.isOpen, 'open');

/** What a subscription says, in order. */
function watch(subscription) {
  const seen = { payloads: [], offsets: [], fresh: [], lost: 0 };
  subscription.addEventListener('publication', ({ detail }) => {
    seen.payloads.push(detail.payload);
    seen.offsets.push(detail.offset);
  });
  subscription.addEventListener('subscribed', ({ detail }) => seen.fresh.push(detail.fresh));
  subscription.addEventListener('lost', () => { seen.lost += 1; });
  return seen;
}

/** The table that a map subscription describes. */
function tableOf(subscription) {
  const table = new Map();
  subscription.addEventListener('subscribed', ({ detail }) => detail.fresh && table.clear());
  subscription.addEventListener('publication', ({ detail }) => (detail.removed ? table.delete(detail.key) : table.set(detail.key, detail.payload)));
  return table;
}

const sorted = (table) => Object.fromEntries([...table].sort(([a], [b]) => (a < b ? -1 : 1)));
const batch = (server, commands) => server.request('POST', '/api/batch', { json: { commands }, headers: { 'X-API-Key': API_KEY } });

test('publishing while clients subscribe with history: the newest, then all, each once and in order', async (t) => {
  const server = await start(t, { limits: { rate_messages: 0 } });
  const writer = connect(t, server);
  await opened(writer);
  let n = 0;
  let stop = false;
  const writing = (async () => {
    while (!stop) await writer.publish('news', ++n);
  })();
  await until(() => n > 20, 'some');
  const readers = [];
  for (let i = 0; i < 20; i++) {
    const client = connect(t, server);
    readers.push(watch(client.subscribe('news', { history: 10 })));
    await sleep(10);
  }
  await sleep(200);
  stop = true;
  await writing;
  await until(() => readers.every((seen) => seen.payloads.at(-1) === n), 'the last one');
  for (const { payloads, offsets } of readers) {
    assert.ok(payloads.length > 10);
    assert.deepEqual(payloads, Array.from({ length: payloads.length }, (_, i) => n - payloads.length + 1 + i));
    assert.deepEqual(offsets, payloads);
  }
});

test('a cut, and SIGKILL of the server: what was missed comes from the log, also much of it', async (t) => {
  const server = await start(t);
  const reader = connect(t, server);
  const seen = watch(reader.subscribe('log:a'));
  await until(() => seen.fresh.length, 'subscribed');
  const padding = 'x'.repeat(1000); // 300 of them are more than a reply holds, and than memory keeps
  const publish = (from, count) => batch(server, Array.from({ length: count }, (_, i) => ({ publish: { channel: 'log:a', data: { n: from + i, padding } } })));
  await publish(1, 5);
  await until(() => seen.payloads.length === 5, 'live');
  reader.close();
  await publish(6, 300);
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  reader.connect();
  await until(() => seen.payloads.length === 305, 'all that was missed');
  await publish(306, 1);
  await until(() => seen.payloads.length === 306, 'live again');
  assert.deepEqual(seen.payloads.map((p) => p.n), Array.from({ length: 306 }, (_, i) => i + 1));
  assert.deepEqual([seen.fresh, seen.lost], [[true, false], 0]);
});

test('a position that is gone is lost, and said so; without the right to history all goes on live', async (t) => {
  const server = await start(t);
  const client = connect(t, server);
  const news = watch(client.subscribe('news', { history: 2, epoch: 'other', offset: 3 }));
  const closed = watch(client.subscribe('closed:a', { history: 5 }));
  for (let i = 1; i <= 3; i++) await server.api('publish', { channel: 'news', data: i });
  await until(() => news.fresh.length && closed.fresh.length, 'subscribed');
  assert.deepEqual([news.lost, news.fresh], [1, [true]]);
  await server.api('publish', { channel: 'closed:a', data: 'live' });
  await until(() => closed.payloads.length, 'live');
  assert.deepEqual(closed.payloads, ['live']);
});

test('a map: pages while it changes, then changes, also those of a time away', async (t) => {
  const server = await start(t);
  const put = (from, count, value) => batch(server, Array.from({ length: count }, (_, i) => ({ map_publish: { channel: 'table:t', key: `k${from + i}`, data: value } })));
  await put(0, 950, 'old');
  const client = connect(t, server);
  const subscription = client.subscribe('table:t', { map: true });
  const table = tableOf(subscription);
  const seen = watch(subscription);
  for (let i = 0; i < 10; i++) await put(i * 90, 60, `new ${i}`);
  const expected = Object.fromEntries((await server.api('map_read_state', { channel: 'table:t', limit: -1 })).entries.map((e) => [e.key, e.data]));
  await until(() => JSON.stringify(sorted(table)) === JSON.stringify(expected), 'the same table');
  client.cut();
  await client.remove('table:t', 'k1').catch(() => {}); // not connected
  await server.api('map_remove', { channel: 'table:t', key: 'k2' });
  await put(3, 1, 'while away');
  await until(() => table.get('k3') === 'while away' && !table.has('k2'), 'changes of the time away');
  assert.deepEqual([seen.fresh, seen.lost], [[true, false], 0]);
  await client.publish('table:t', 'mine', { key: 'k4' });
  await client.remove('table:t', 'k5');
  await until(() => table.get('k4') === 'mine' && !table.has('k5'), 'own changes');
  await server.api('map_clear', { channel: 'table:t' });
  await until(() => table.size === 0, 'cleared');
  await put(0, 1, 'again');
  await until(() => table.get('k0') === 'again', 'after that');
});

test('an ephemeral map is read anew after a cut', async (t) => {
  const server = await start(t);
  const client = connect(t, server);
  const subscription = client.subscribe('flash:t', { map: true });
  const table = tableOf(subscription);
  await opened(client);
  await client.publish('flash:t', 1, { key: 'a' });
  await until(() => table.get('a') === 1, 'live');
  client.cut();
  await server.api('map_publish', { channel: 'flash:t', key: 'b', data: 2 });
  await until(() => subscription.state === 'subscribed' && table.get('b') === 2, 'anew');
  assert.deepEqual(sorted(table), { a: 1, b: 2 });
});

test('joins, leaves, presence; unsubscribing and subscribing again at once', async (t) => {
  const server = await start(t);
  const ann = connect(t, server, { token: server.token({ sub: 'ann', info: { name: 'Ann' } }) });
  const room = ann.subscribe('room');
  const news = [];
  for (const type of ['join', 'leave']) room.addEventListener(type, ({ detail }) => news.push(`${type} ${detail.user || 'nobody'} ${detail.name ?? ''}`.trim()));
  await until(() => news.length === 1, 'own join');
  const other = connect(t, server);
  for (let i = 0; i < 10; i++) {
    other.subscribe('room');
    other.unsubscribe('room');
  }
  const last = other.subscribe('room');
  await until(() => last.state === 'subscribed', 'the last one');
  await until(async () => (await ann.presence('room')).length === 2, 'two');
  assert.deepEqual((await other.presence('room')).map(({ user, name }) => [user, name]).sort(), [['', undefined], ['ann', 'Ann']]);
  other.close();
  await until(() => news.at(-1) === 'leave nobody', 'leave');
  assert.equal(news[0], 'join ann Ann');
});

test('pings are answered; a token that is over is asked for again, one that stays refused ends it', async (t) => {
  const server = await start(t, { limits: { ping_ms: 200, pong_ms: 2000, refresh_ms: 0 }, auth: { anonymous: false } });
  const now = () => Math.floor(Date.now() / 1000);
  const tokens = [server.token({ sub: 'ann', exp: 1000 }), server.token({ sub: 'ann', exp: now() + 3600 })];
  const client = connect(t, server, { token: () => tokens[0] });
  await until(() => client.state === 'closed', 'closed');
  assert.match(client.states.at(-1).reason, /expired/);
  tokens.shift();
  client.connect();
  await opened(client);
  await sleep(1000);
  assert.equal(client.state, 'open');
  const bad = connect(t, server, { token: 'x.y.z' });
  await until(() => bad.state === 'closed', 'closed');
  assert.equal(bad.states.at(-1).code, 3500);
  await assert.rejects(client.rpc('nothing', {}), { name: 'CrierError', code: 108 });
  await assert.rejects(bad.publish('news', 1), { code: 0 });
});
