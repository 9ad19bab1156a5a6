// Keyed channels: the newest publication of each key as a snapshot, then the stream.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { API_KEY, buildDir, sleep, startCrier } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const config = (more) => ({ limits: { rate_messages: 0 }, namespace: [{ name: 'default', publish: true, keyed: true, history: 1000, ...more }] });

/** What a client holds after these messages: key -> value, by the `k` in the payload. */
function fold(state, messages) {
  for (const { payload } of messages) state.set(payload.k, payload.v);
  return state;
}

test('a subscriber gets the newest of each key, oldest change first, then the stream', async (t) => {
  const server = await startCrier({ t, config: config() });
  const writer = await server.typed();
  for (const [k, v] of [['a', 1], ['b', 1], ['c', 1], ['a', 2], ['b', 2], ['a', 3]]) await writer.publish('map', { k, v }, { key: k });
  const client = await server.typed();
  const subscribed = await client.subscribe('map');
  assert.equal(subscribed.publications, 3);
  await writer.publish('map', { k: 'd', v: 1 }, { key: 'd' });
  const messages = await client.publications('map', 4);
  assert.deepEqual(messages.map((m) => [m.payload.k, m.payload.v]), [['c', 1], ['b', 2], ['a', 3], ['d', 1]]);
});

test('a tombstone takes its key out of the snapshot, and subscribers hear of it', async (t) => {
  const server = await startCrier({ t, config: { ...config(), server: { module_dir: join(buildDir, 'tests', 'modules') }, module: [{ name: 'prober' }] } });
  const writer = await server.typed();
  for (const k of ['1', '2']) await writer.publish('map', { k, v: 1 }, { key: k });
  const live = await server.typed();
  await live.subscribe('map');
  await live.publications('map', 2);
  assert.equal((await writer.request(110, 1)).type, TYPE.ok);
  const [removal] = await live.publications('map', 1);
  assert.deepEqual(removal.payload, { key: '1', removed: true });
  const late = await server.typed();
  assert.equal((await late.subscribe('map')).publications, 1);
  assert.equal((await late.publications('map', 1))[0].payload.k, '2');
  const { json } = await server.get('/channels/map');
  assert.deepEqual(json.publications.map((p) => p.key), ['2']);
});

test('a key that is not published for key_ttl goes', async (t) => {
  const server = await startCrier({ t, config: config({ key_ttl: 500 }) });
  const writer = await server.typed();
  await writer.publish('map', { k: 'old', v: 1 }, { key: 'old' });
  await sleep(2500);
  await writer.publish('map', { k: 'new', v: 1 }, { key: 'new' });
  const client = await server.typed();
  assert.equal((await client.subscribe('map')).publications, 1);
  assert.equal((await client.publications('map', 1))[0].payload.k, 'new');
});

test('snapshots taken in the middle of a stream have no gap and no overlap', async (t) => {
  const server = await startCrier({ t, config: config() });
  const writer = await server.typed();
  const final = new Map();
  let writing = true;
  const stream = (async () => {
    for (let i = 0; i < 1500; i++) {
      const k = `k${i % 37}`;
      final.set(k, i);
      await writer.publish('map', { k, v: i }, { key: k });
    }
    writing = false;
  })();
  const clients = [];
  while (writing && clients.length < 30) {
    const client = await server.typed();
    clients.push({ client, subscribed: await client.subscribe('map') });
    await sleep(5);
  }
  await stream;
  for (const { client, subscribed } of clients) {
    const snapshot = subscribed.publications ? await client.publications('map', subscribed.publications) : [];
    assert.ok(snapshot.every((m) => m.offset <= subscribed.offset));
    const live = await client.publications('map', 1500 - subscribed.offset);
    assert.deepEqual(live.map((m) => m.offset), Array.from({ length: live.length }, (_, i) => subscribed.offset + 1 + i));
    assert.deepEqual(fold(fold(new Map(), snapshot), live), final);
  }
});

test('interval_ms on a keyed channel delivers the newest of each key only', async (t) => {
  const server = await startCrier({ t, config: config({ interval_ms: 300 }) });
  const client = await server.typed();
  await client.subscribe('map');
  const writer = await server.typed();
  for (let i = 0; i < 200; i++) {
    await writer.publish('map', { k: `k${i % 4}`, v: i }, { key: `k${i % 4}` });
    await sleep(2);
  }
  await sleep(800);
  const messages = client.messages.filter((m) => m.channel === 'map');
  assert.ok(messages.length < 60, `${messages.length} of 200 delivered`);
  assert.deepEqual([...fold(new Map(), messages)].sort(), [['k0', 196], ['k1', 197], ['k2', 198], ['k3', 199]]);
});

test('keys come by the server API, too', async (t) => {
  const server = await startCrier({ t, config: config() });
  for (const v of [1, 2]) {
    const reply = await server.request('POST', '/api/publish', { json: { channel: 'map', key: 'a', data: { k: 'a', v } },
      headers: { 'X-API-Key': API_KEY } });
    assert.equal(reply.status, 200, reply.text);
  }
  const client = await server.typed();
  assert.equal((await client.subscribe('map')).publications, 1);
  assert.deepEqual((await client.publications('map', 1))[0].payload, { k: 'a', v: 2 });
});
