// Map subscriptions of the unmodified client library on keyed channels.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient } from '../lib/channels.mjs';
import { API_KEY, sleep, slowness, startCrier, until } from '../lib/crier.mjs';

const key = { 'X-API-Key': API_KEY };
const namespaces = [
  { name: 'default', publish: true },
  { name: 'table', keyed: true, history: 1000, map_publish: true, map_remove: true },
  { name: 'short', keyed: true, history: 5, map_publish: true },
  { name: 'brief', keyed: true, key_ttl: '1500ms', history: 1000, map_publish: true },
  { name: 'flash', keyed: true, map: 'ephemeral', key_ttl: '60s', map_publish: true, map_remove: true },
  { name: 'closed', keyed: true, history: 10 },
];
const start = (t, more = {}) => startCrier({ t, config: { namespace: namespaces, ...more } });
const put = (server, channel, k, data, more = {}) =>
  server.request('POST', '/api/map_publish', { json: { channel, key: k, data, ...more }, headers: key }).then((r) => r.json);
const remove = (server, channel, k) =>
  server.request('POST', '/api/map_remove', { json: { channel, key: k }, headers: key }).then((r) => r.json);

/** Keeps the table as an application would: from sync and update events. */
async function table(client, channel, options = {}) {
  const sub = client.newMapSubscription(channel, options);
  sub.rows = new Map();
  sub.updates = [];
  sub.syncs = 0;
  sub.states = [];
  sub.on('sync', (ctx) => {
    sub.syncs++;
    sub.rows = new Map(ctx.entries.map((e) => [e.key, e.data]));
  });
  sub.on('update', (ctx) => {
    sub.updates.push(ctx);
    if (ctx.removed) sub.rows.delete(ctx.key);
    else sub.rows.set(ctx.key, ctx.data);
  });
  for (const name of ['subscribed', 'unsubscribed', 'error']) sub.on(name, (ctx) => sub.states.push({ name, ...ctx }));
  sub.subscribe();
  await sub.ready(5000 * slowness);
  return sub;
}
const rows = (sub) => Object.fromEntries([...sub.rows].sort(([a], [b]) => (a < b ? -1 : 1)));

test('the state, then each change, and removals', async (t) => {
  const server = await start(t);
  for (const k of ['a', 'b', 'c']) await put(server, 'table:t', k, { k });
  const sub = await table(await channelsClient(t, server), 'table:t');
  assert.deepEqual(rows(sub), { a: { k: 'a' }, b: { k: 'b' }, c: { k: 'c' } });
  await put(server, 'table:t', 'b', { k: 'b2' });
  await put(server, 'table:t', 'd', { k: 'd' });
  await remove(server, 'table:t', 'a');
  await until(() => sub.updates.length === 3, 'updates');
  assert.deepEqual(rows(sub), { b: { k: 'b2' }, c: { k: 'c' }, d: { k: 'd' } });
  assert.equal(sub.updates[2].removed, true);
});

test('a client writes and removes where it may', async (t) => {
  const server = await start(t);
  const client = await channelsClient(t, server);
  const sub = await table(client, 'table:t');
  const other = await table(await channelsClient(t, server), 'table:t');
  await sub.publish('x', { n: 1 });
  await sub.publish('y', { n: 2 });
  await sub.remove('x');
  await sub.remove('never-there');
  await until(() => other.updates.length === 3 && sub.updates.length === 3, 'updates');
  assert.deepEqual(rows(other), { y: { n: 2 } });
  const closed = await table(client, 'closed:t');
  await assert.rejects(closed.publish('x', 1), { code: 103 });
  await assert.rejects(sub.publish('', 1), { code: 107 });
  const raw = await RawChannels.open(t, server);
  assert.equal((await raw.call({ publish: { channel: 'table:t', data: 1 } })).error.code, 107);
});

test('pages: a thousand keys come whole while they change', async (t) => {
  const server = await start(t);
  for (let i = 0; i < 1000; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, k) => put(server, 'table:big', `k${String(i + k).padStart(4, '0')}`, { v: 0 })));
  const client = await channelsClient(t, server);
  let stop = false;
  const writer = (async () => {
    for (let v = 1; !stop; v++) {
      await put(server, 'table:big', `k${String(v % 1000).padStart(4, '0')}`, { v });
      await put(server, 'table:big', `new${v}`, { v });
      await remove(server, 'table:big', `k${String(999 - (v % 300)).padStart(4, '0')}`);
    }
  })();
  const subs = [];
  for (let i = 0; i < 3; i++) {
    const one = i === 0 ? client : await channelsClient(t, server);
    subs.push(await table(one, 'table:big', { pageSize: 100 }));
  }
  await sleep(200);
  stop = true;
  await writer;
  await put(server, 'table:big', 'end', true);
  await until(() => subs.every((s) => s.rows.has('end')), 'the last write');
  const state = (await server.request('POST', '/api/map_read_state', { json: { channel: 'table:big', limit: -1 }, headers: key })).json.result;
  const truth = Object.fromEntries(state.entries.map((e) => [e.key, e.data]).sort(([a], [b]) => (a < b ? -1 : 1)));
  for (const sub of subs) assert.deepEqual(rows(sub), truth);
});

test('after a cut what was missed comes as updates, not as a new state', async (t) => {
  const server = await start(t);
  for (const k of ['a', 'b', 'c']) await put(server, 'table:t', k, 1);
  const client = await channelsClient(t, server);
  const sub = await table(client, 'table:t');
  client._transport.close();
  await put(server, 'table:t', 'b', 2);
  await remove(server, 'table:t', 'c');
  await until(() => sub.updates.length === 2, 'updates');
  assert.deepEqual(rows(sub), { a: 1, b: 2 });
  assert.equal(sub.syncs, 1);
  assert.deepEqual([sub.states.at(-1).wasRecovering, sub.states.at(-1).recovered], [true, true]);
});

test('a stream that no longer reaches back gives the state anew', async (t) => {
  const server = await start(t);
  for (let i = 0; i < 3; i++) await put(server, 'short:t', `k${i}`, 0);
  const client = await channelsClient(t, server);
  const sub = await table(client, 'short:t', { minResubscribeDelay: 20, maxResubscribeDelay: 50 });
  client._transport.close();
  for (let i = 0; i < 20; i++) await put(server, 'short:t', `k${i % 4}`, i);
  await until(() => sub.syncs === 2, 'second state');
  assert.deepEqual(rows(sub), { k0: 16, k1: 17, k2: 18, k3: 19 });
});

test('keys expire with a removal', async (t) => {
  const server = await start(t);
  await put(server, 'brief:t', 'a', 1);
  const sub = await table(await channelsClient(t, server), 'brief:t');
  assert.deepEqual(rows(sub), { a: 1 });
  await until(() => sub.updates.some((u) => u.removed && u.key === 'a'), 'removal', 8000);
});

test('an ephemeral map tells no offsets and is read anew', async (t) => {
  const server = await start(t);
  await put(server, 'flash:t', 'a', 1);
  const client = await channelsClient(t, server);
  const sub = await table(client, 'flash:t');
  assert.deepEqual(rows(sub), { a: 1 });
  await sub.publish('b', 2);
  await until(() => sub.updates.length === 1, 'update');
  assert.ok(!sub.updates[0].offset);
  client._transport.close();
  await put(server, 'flash:t', 'c', 3);
  await until(() => sub.rows.has('c'), 'state after the cut');
  assert.deepEqual(rows(sub), { a: 1, b: 2, c: 3 });
});

test('protobuf clients hold the same table', async (t) => {
  const server = await start(t);
  await put(server, 'table:t', 'a', { n: 1 });
  const sub = await table(await channelsClient(t, server, { protobuf: true }), 'table:t');
  await put(server, 'table:t', 'b', { n: 2 });
  await until(() => sub.rows.size === 2, 'update');
  const text = Object.fromEntries([...sub.rows].map(([k, v]) => [k, JSON.parse(new TextDecoder().decode(v))]));
  assert.deepEqual(text, { a: { n: 1 }, b: { n: 2 } });
});

test('requests that mean nothing have their codes', async (t) => {
  const server = await start(t);
  await put(server, 'table:t', 'a', 1);
  await put(server, 'flash:t', 'a', 1);
  const raw = await RawChannels.open(t, server);
  const code = async (subscribe) => (await raw.call({ subscribe })).error?.code;
  assert.equal(await code({ channel: 'news', type: 1, phase: 2 }), 103);
  assert.equal(await code({ channel: 'table:t', type: 4 }), 108);
  assert.equal(await code({ channel: 'table:t', type: 1, phase: 2, cursor: 'a' }), 103);
  assert.equal(await code({ channel: 'table:t', type: 1, phase: 1, offset: 1 }), 103);
  assert.equal(await code({ channel: 'flash:t', type: 1, phase: 1, recover: true, offset: 1 }), 107);
  assert.equal(await code({ channel: 'table:t', type: 1, phase: 2, epoch: 'other' }), 112);
  assert.equal(await code({ channel: 'table:t', type: 1, phase: 2, tf: { op: 'xor' } }), 107);
  const live = (await raw.call({ subscribe: { channel: 'table:t', type: 1, phase: 2, limit: 100 } })).subscribe;
  assert.deepEqual([live.type, live.phase, live.recoverable, live.offset, live.state.map((e) => e.key)], [1, undefined, true, 1, ['a']]);
  assert.equal(await code({ channel: 'table:t', type: 1, phase: 2 }), 105);
});

test('unsubscribing between two pages is answered at once', async (t) => {
  const server = await start(t);
  for (let i = 0; i < 250; i++) await put(server, 'table:t', `k${String(i).padStart(3, '0')}`, i);
  const raw = await RawChannels.open(t, server);
  const page = (await raw.call({ subscribe: { channel: 'table:t', type: 1, phase: 2, limit: 100 } })).subscribe;
  assert.deepEqual([page.phase, page.state.length, page.cursor], [2, 100, 'k099']);
  assert.deepEqual((await raw.call({ unsubscribe: { channel: 'table:t' } })).unsubscribe, {});
  await put(server, 'table:t', 'zz', 1);
  await sleep(100);
  assert.equal(raw.pushes('pub').length, 0);
});
