// Map subscriptions with deltas and with tags filters, with the unmodified client library over all transports.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, keepTable } from '../lib/channels.mjs';
import { API_KEY, slowness, startCrier, until } from '../lib/crier.mjs';
import { TRANSPORTS, streamClient } from '../lib/streams.mjs';

const headers = { 'X-API-Key': API_KEY };
const start = (t) => startCrier({ t, config: { namespace: [
  { name: 'table', keyed: true, delta: true, history: 1000, page_size: 100 },
  { name: 'short', keyed: true, delta: true, history: 5 },
] } });

async function call(server, method, request) {
  const { json } = await server.request('POST', `/api/${method}`, { json: request, headers });
  assert.ok(json.result, `${method}: ${JSON.stringify(json)}`);
}
const put = (server, channel, key, data, tags) => call(server, 'map_publish', { channel, key, data, tags });
const remove = (server, channel, key) => call(server, 'map_remove', { channel, key });

const PAD = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(3);
/** Keeps the table as an application would. */
async function table(client, channel, options = {}) {
  const sub = client.newMapSubscription(channel, options);
  keepTable(sub).problems = [];
  for (const name of ['unsubscribed', 'error']) sub.on(name, (ctx) => sub.problems.push({ name, ...ctx }));
  sub.subscribe();
  await sub.ready(5000 * slowness);
  return sub;
}

const sorted = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** Waits until the table is what it should be, and says how they differ if that does not come. */
async function becomes(sub, expected, what) {
  const wanted = JSON.stringify(sorted(expected));
  await until(() => JSON.stringify(sorted(sub.rows)) === wanted, what).catch(() => {
    assert.deepEqual(sorted(sub.rows), sorted(expected), what);
  });
  assert.deepEqual(sub.problems, [], what);
}

/** Repeatable pseudo-random numbers. */
function generator(seed) {
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * n);
  };
}

async function changeAtRandom(server, channel, model, random, count) {
  for (let i = 0; i < count; i++) {
    const key = `k${random(6)}`;
    if (random(5) === 0) {
      await remove(server, channel, key);
      model.delete(key);
    } else {
      const data = { key, n: random(1e6), text: ['ä', '日本', '😀', PAD][random(4)] + PAD };
      await put(server, channel, key, data);
      model.set(key, data);
    }
  }
}

const WAYS = [
  { name: 'JSON', open: (t, server) => channelsClient(t, server) },
  { name: 'protobuf', open: (t, server) => channelsClient(t, server, { protobuf: true }) },
  ...TRANSPORTS.map(({ name, ...way }) => ({ name, open: (t, server) => streamClient(t, server, way) })),
];

for (const { name, open } of WAYS)
  test(`${name}: tables with and without deltas follow every change, also across cuts`, async (t) => {
    const server = await start(t);
    const random = generator(name.length);
    const model = new Map();
    await changeAtRandom(server, 'table:t', model, random, 10);
    const clients = [await open(t, server), await open(t, server), await open(t, server)];
    const subs = [];
    for (const [i, client] of clients.entries())
      subs.push(await table(client, 'table:t', i ? { delta: 'fossil' } : {}));
    for (let round = 0; round < 5; round++) {
      await changeAtRandom(server, 'table:t', model, random, 12);
      if (round % 2) clients[1 + round % 2]._transport.close();
      await changeAtRandom(server, 'table:t', model, random, 6);
      for (const [i, sub] of subs.entries()) await becomes(sub, model, `client ${i}, round ${round}`);
    }
    for (const sub of subs.slice(1)) assert.ok(sub.deltaStats().numDeltaPayloads > 20, JSON.stringify(sub.deltaStats()));
  });

test('deltas are against the value before of their key; after a removal comes the whole', async (t) => {
  const server = await start(t);
  const doc = (key, n) => ({ key, n, pad: PAD });
  await put(server, 'table:t', 'a', doc('a', 0));
  const raw = await RawChannels.open(t, server);
  const { subscribe } = await raw.call({ subscribe: { channel: 'table:t', type: 1, phase: 2, limit: 100, delta: 'fossil' } });
  assert.equal(subscribe.delta, true);
  assert.deepEqual(subscribe.state.map((p) => [p.key, p.delta, typeof p.data]), [['a', undefined, 'string']]);
  await put(server, 'table:t', 'a', doc('a', 1));
  await put(server, 'table:t', 'b', { other: 'x'.repeat(80) });
  await put(server, 'table:t', 'a', doc('a', 2));
  await remove(server, 'table:t', 'a');
  await put(server, 'table:t', 'a', doc('a', 3));
  await put(server, 'table:t', 'a', doc('a', 4));
  await until(() => raw.pushes('pub').length === 6, 'pushes');
  const [first, ...rest] = raw.pushes('pub').map(({ pub }) => [pub.key, pub.removed ?? false, pub.delta ?? false]);
  assert.deepEqual(first.slice(0, 2), ['a', false]);
  assert.deepEqual(rest, [['b', false, false], ['a', false, true], ['a', true, false], ['a', false, false], ['a', false, true]]);
});

test('a stream that no longer reaches back: the new state is what later deltas build on', async (t) => {
  const server = await start(t);
  const model = new Map();
  const random = generator(5);
  const client = await channelsClient(t, server);
  const sub = await table(client, 'short:t', { delta: 'fossil' });
  for (let round = 0; round < 3; round++) {
    client._transport.close();
    await changeAtRandom(server, 'short:t', model, random, 20);
    await becomes(sub, model, `round ${round}`);
    await changeAtRandom(server, 'short:t', model, random, 10);
    await becomes(sub, model, `after round ${round}`);
  }
});

for (const protobuf of [false, true])
  test(`${protobuf ? 'protobuf' : 'JSON'}: a filter holds for the state, for what was missed, and live`, async (t) => {
    const server = await start(t);
    const wanted = new Map();
    const write = async (key, n, kind) => {
      await put(server, 'table:t', key, { n }, { kind });
      if (kind === 'bus') wanted.set(key, { n });
    };
    for (let n = 0; n < 40; n++) await write(`k${n}`, n, n % 2 ? 'bus' : 'tram');
    const client = await channelsClient(t, server, { protobuf });
    const sub = await table(client, 'table:t', { tagsFilter: { key: 'kind', cmp: 'eq', val: 'bus' } });
    await becomes(sub, wanted, 'state');
    for (let n = 40; n < 60; n++) await write(`k${n}`, n, n % 2 ? 'bus' : 'tram');
    await becomes(sub, wanted, 'live');
    client._transport.close();
    for (let n = 60; n < 80; n++) await write(`k${n % 50}`, n, n % 2 ? 'bus' : 'tram');
    await becomes(sub, wanted, 'after a cut');
    await remove(server, 'table:t', 'k1');
    await remove(server, 'table:t', 'k2');
    wanted.delete('k1');
    await becomes(sub, wanted, 'removal');
    assert.ok(!sub.updates.some((u) => u.key === 'k2'), 'the removal of what was never wanted');
  });
