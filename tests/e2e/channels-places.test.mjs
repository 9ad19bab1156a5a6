// Filters by place of the channels wire, with the unmodified client library: a table of what lies in a box.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient } from '../lib/channels.mjs';
import { sleep, until } from '../lib/crier.mjs';
import { CHANNEL, box, holds, put, remove, rows, startPlaces, watch, within } from '../lib/places.mjs';
import { TRANSPORTS, streamClient } from '../lib/streams.mjs';

const HOME = box(60, 24, 61, 25);
const EAST = box(60, 25.5, 61, 26.5);
const at = (lat, lon, more = {}) => ({ mode: 'bus', lat, lon, ...more });

/** Every way to be a client of the library: [name, protobuf, open]. */
const WAYS = [
  ['WebSocket JSON', false, (t, server) => channelsClient(t, server)],
  ['WebSocket protobuf', true, (t, server) => channelsClient(t, server, { protobuf: true })],
  ...TRANSPORTS.map((way) => [way.name, !!way.protobuf, (t, server) => streamClient(t, server, way)]),
];

for (const [name, protobuf, open] of WAYS) {
  test(`${name}: the table is what lies in the box, while things move and while the box does`, async (t) => {
    const server = await startPlaces(t);
    await put(server, 'in', at(60.5, 24.5));
    await put(server, 'out', at(60.5, 26));
    await put(server, 'far', at(-33, 151));
    const client = await open(t, server);
    const sub = await watch(client, HOME, { protobuf });
    assert.deepEqual(rows(sub), { in: at(60.5, 24.5) });
    await put(server, 'in', at(60.6, 24.6));
    await holds(sub, { in: at(60.6, 24.6) });
    await put(server, 'out', at(60.5, 24.9)); // comes in
    await put(server, 'in', at(60.6, 25.6)); // goes out
    await put(server, 'far', at(-34, 151)); // nobody's business
    await holds(sub, { out: at(60.5, 24.9) });
    assert.deepEqual(sub.updates.map((u) => [u.key, !!u.removed]), [['in', false], ['out', false], ['in', true]]);
    assert.deepEqual(sub.updates.map((u) => Number(u.offset)), [4, 5, 6]);
    assert.deepEqual(await sub.move(EAST), {});
    assert.deepEqual(rows(sub), { in: at(60.6, 25.6) }); // the answer comes behind the news
    await put(server, 'out', at(60.5, 24.8));
    await remove(server, 'in');
    await holds(sub, {});
    assert.equal(sub.syncs, 1);
  });

  test(`${name}: after a cut exactly what was missed comes, also under a box that was changed in place`, async (t) => {
    const server = await startPlaces(t);
    for (const key of ['a', 'b', 'c']) await put(server, key, at(60.5, 24.5, { key }));
    const client = await open(t, server);
    const sub = await watch(client, box(0, 0, 1, 1), { protobuf });
    await sub.move(HOME);
    await holds(sub, { a: at(60.5, 24.5, { key: 'a' }), b: at(60.5, 24.5, { key: 'b' }), c: at(60.5, 24.5, { key: 'c' }) });
    sub.updates.length = 0;
    client._transport.close();
    await put(server, 'a', at(60.5, 26));
    await put(server, 'd', at(60.5, 24.1));
    await put(server, 'x', at(10, 10));
    await remove(server, 'b');
    await holds(sub, { c: at(60.5, 24.5, { key: 'c' }), d: at(60.5, 24.1) });
    assert.deepEqual(sub.updates.map((u) => [u.key, !!u.removed]), [['a', true], ['d', false], ['b', true]]);
    assert.equal(sub.syncs, 1);
    assert.deepEqual([sub.states.at(-1).wasRecovering, sub.states.at(-1).recovered], [true, true]);
  });
}

test('a client that comes back with another box than the one it left with gets the table anew', async (t) => {
  const server = await startPlaces(t);
  await put(server, 'home', at(60.5, 24.5));
  await put(server, 'east', at(60.5, 26));
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME);
  await sub.move(EAST, { keep: false }); // the application forgot to say so for the next time
  assert.deepEqual(rows(sub), { east: at(60.5, 26) });
  client._transport.close();
  await holds(sub, { home: at(60.5, 24.5) });
  assert.equal(sub.syncs, 2);
});

test('a change of the box that brings no news is told with what comes first under it', async (t) => {
  const server = await startPlaces(t);
  await put(server, 'out', at(0, 0));
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME);
  await sub.move(EAST);
  await put(server, 'east', at(60.5, 26));
  await holds(sub, { east: at(60.5, 26) });
  client._transport.close();
  await put(server, 'east', at(60.5, 26.1));
  await holds(sub, { east: at(60.5, 26.1) });
  assert.equal(sub.syncs, 1);
});

test('the server goes and comes back: resumed from the log, which does not know where things were before', async (t) => {
  const server = await startPlaces(t, { namespace: { history: 3 } });
  for (let i = 0; i < 6; i++) await put(server, `v${i}`, at(60.1 + i / 10, 24.5));
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME);
  assert.equal(sub.rows.size, 6);
  client._transport.close();
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  for (let i = 0; i < 5; i++) await put(server, `v${i}`, at(60.5, i % 2 ? 24.1 : 27));
  await put(server, 'v1', at(60.5, 27));
  await holds(sub, { v3: at(60.5, 24.1), v5: at(60.6, 24.5) });
  assert.deepEqual([sub.states.at(-1).recovered, sub.syncs], [true, 1]);
});

test('a box across the 180th meridian, however it is written', async (t) => {
  const server = await startPlaces(t);
  const model = new Map(Object.entries({ west: at(0, -179), east: at(0, 179), greenwich: at(0, 0), line: at(0, 180) }));
  for (const [key, data] of model) await put(server, key, data);
  const client = await channelsClient(t, server);
  const over = box(-1, 178, 1, -178);
  const sub = await watch(client, over);
  assert.deepEqual(rows(sub), within(model, over));
  await sub.move(box(-1, -1, 1, 1));
  assert.deepEqual(Object.keys(rows(sub)), ['greenwich']);
  await client.rpc('geo', { channel: CHANNEL, southWest: { latitude: -1, longitude: 178 }, northEast: { latitude: 1, longitude: 182 } });
  assert.deepEqual(rows(sub), within(model, over));
  await sub.move(box(-90, -180, 90, 180));
  assert.equal(sub.rows.size, 4);
});

test('a tags filter beside it: what stops matching is gone, too', async (t) => {
  const server = await startPlaces(t);
  await put(server, 'tram', at(60.5, 24.5, { mode: 'tram' }));
  await put(server, 'bus', at(60.5, 24.5));
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME, { tagsFilter: { key: 'mode', cmp: 'eq', val: 'tram' } });
  assert.deepEqual(Object.keys(rows(sub)), ['tram']);
  await put(server, 'bus', at(60.6, 24.5));
  await put(server, 'bus', at(60.6, 26));
  await put(server, 'tram', at(60.6, 24.5, { mode: 'tram' }));
  await holds(sub, { tram: at(60.6, 24.5, { mode: 'tram' }) });
  await put(server, 'tram', at(60.6, 24.5));
  await holds(sub, {});
  await put(server, 'bus', at(60.6, 24.5, { mode: 'tram' }));
  await holds(sub, { bus: at(60.6, 24.5, { mode: 'tram' }) });
  await sub.move(EAST);
  assert.deepEqual(rows(sub), {});
  await sub.move(HOME);
  assert.deepEqual(Object.keys(rows(sub)), ['bus']);
  assert.deepEqual(sub.updates.map((u) => [u.key, !!u.removed]),
    [['tram', false], ['tram', true], ['bus', false], ['bus', true], ['bus', false]]);
});

test('the state comes in pages', async (t) => {
  const server = await startPlaces(t);
  const model = new Map();
  for (let i = 0; i < 350; i++) {
    model.set(`v${i}`, at(60.5, i % 7 === 0 ? 26 : 24 + i / 1000));
    await put(server, `v${i}`, model.get(`v${i}`));
  }
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME, { pageSize: 100 });
  assert.deepEqual(rows(sub), within(model, HOME));
  assert.equal(sub.syncs, 1);
});

test('keys that expire leave the box; an ephemeral map is read anew after a cut', async (t) => {
  const server = await startPlaces(t, { namespace: { key_ttl: '3s', map: 'ephemeral' } });
  await put(server, 'a', at(60.5, 24.5));
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME);
  assert.deepEqual(Object.keys(rows(sub)), ['a']);
  await sub.move(EAST);
  await sub.move(HOME);
  client._transport.close();
  await put(server, 'b', at(60.5, 24.6));
  await until(() => sub.rows.has('b'), 'state after the cut');
  await put(server, 'c', at(60.5, 26));
  await until(() => sub.rows.size === 0, 'expiry', 10000);
  assert.ok(!sub.updates.some((u) => u.key === 'c'));
});

test('an ephemeral map: what moves twice between two pages and ends outside is removed', async (t) => {
  const server = await startPlaces(t, { namespace: { key_ttl: '60s', map: 'ephemeral' } });
  for (let i = 0; i < 150; i++) await put(server, `k${String(i).padStart(3, '0')}`, at(60.5, 24.5));
  const raw = await RawChannels.open(t, server);
  const page = (await raw.call({ subscribe: { channel: CHANNEL, type: 1, phase: 2, limit: 100, data: { geo: HOME } } })).subscribe;
  assert.deepEqual([page.state.length, page.cursor], [100, 'k099']);
  await put(server, 'k001', at(60.5, 26));
  await put(server, 'k001', at(60.5, 27));
  await put(server, 'new', at(60.5, 24.5));
  const last = (await raw.call({ subscribe: { channel: CHANNEL, type: 1, phase: 2, limit: 100, cursor: page.cursor, epoch: page.epoch } })).subscribe;
  assert.equal(last.state.length, 50);
  assert.deepEqual(last.publications.map((p) => [p.key, !!p.removed]), [['k001', true], ['new', false]]);
  assert.equal(last.epoch, page.epoch);
});

test('a plain subscription gets what lies in the box, then changes and removals', async (t) => {
  const server = await startPlaces(t);
  await put(server, 'in', at(60.5, 24.5));
  await put(server, 'out', at(60.5, 26));
  const raw = await RawChannels.open(t, server);
  const { subscribe } = await raw.call({ subscribe: { channel: CHANNEL, data: { geo: HOME } } });
  assert.equal(subscribe.offset, undefined); // that of the table's first entry is 1: a cut right here must not seem to have it
  assert.match(subscribe.epoch, /^[\w-]+~[0-9a-f]{16}$/);
  const seen = () => raw.pushes('pub').map(({ pub }) => [pub.key, pub.removed ?? false, pub.offset]);
  await until(() => seen().length === 1, 'the table');
  await put(server, 'out', at(60.5, 24.1));
  await put(server, 'in', at(60.5, 26));
  await until(() => seen().length === 3, 'changes');
  assert.deepEqual(seen(), [['in', false, 1], ['out', false, 3], ['in', true, 4]]);
  const other = await RawChannels.open(t, server);
  await put(server, 'out', at(60.5, 26));
  const back = (await other.call({ subscribe: { channel: CHANNEL, recover: true, epoch: subscribe.epoch, offset: 3, data: { geo: HOME } } })).subscribe;
  assert.deepEqual([back.recovered, back.publications.map((p) => [p.key, p.removed, p.offset])], [true, [['in', true, 4], ['out', true, 5]]]);
  await other.call({ unsubscribe: { channel: CHANNEL } });
  const elsewhere = (await other.call({ subscribe: { channel: CHANNEL, recover: true, epoch: subscribe.epoch, offset: 3, data: { geo: EAST } } })).subscribe;
  assert.equal(elsewhere.recovered, undefined);
  await other.call({ unsubscribe: { channel: CHANNEL } });
  const without = (await other.call({ subscribe: { channel: CHANNEL, recover: true, epoch: subscribe.epoch, offset: 3 } })).subscribe;
  assert.equal(without.recovered, undefined);
});

test('what is no box, or no place for one, has its error', async (t) => {
  const server = await startPlaces(t);
  await put(server, 'in', at(60.5, 24.5));
  const raw = await RawChannels.open(t, server);
  const code = async (channel, geo) => (await raw.call({ subscribe: { channel, data: { geo } } })).error?.code;
  const bad = [1, 'x', [], {}, { south_west: HOME.south_west }, box(61, 24, 60, 25), box(-91, 0, 0, 0), box(0, 0, 90.1, 1), box(0, -541, 1, 1),
    { ...HOME, southWest: HOME.south_west }, { south_west: { latitude: '60', longitude: 24 }, north_east: HOME.north_east },
    { south_west: { latitude: null, longitude: 24 }, north_east: HOME.north_east }];
  for (const geo of bad) assert.equal(await code(CHANNEL, geo), 107, JSON.stringify(geo));
  assert.equal(await code('flat:x', HOME), 108);
  assert.equal(await code('plain:x', HOME), 108);
  assert.equal(await code('nowhere:x', HOME), 102);
  const rpc = async (data) => (await raw.call({ rpc: { method: 'geo', data } })).error?.code;
  assert.equal(await rpc({ channel: CHANNEL, ...HOME }), 103);
  await raw.call({ subscribe: { channel: CHANNEL } }); // everything
  assert.equal(await rpc({ channel: CHANNEL, ...HOME }), 103);
  await raw.call({ unsubscribe: { channel: CHANNEL } });
  assert.equal(await code(CHANNEL, HOME), undefined);
  assert.equal(await rpc({ channel: CHANNEL, ...HOME }), undefined);
  for (const data of [null, {}, HOME, { channel: CHANNEL }, { channel: CHANNEL, ...box(61, 24, 60, 25) }, { channel: 5, ...HOME }])
    assert.equal(await rpc(data), 107, JSON.stringify(data));
  assert.equal((await raw.call({ subscribe: { channel: 'plain:x', data: { geo: null, mine: 1 } } })).error, undefined);
});

test('of boxes that overtake each other the last one counts, and all are answered', async (t) => {
  const server = await startPlaces(t);
  const model = new Map();
  for (let i = 0; i < 40; i++) {
    model.set(`v${i}`, at(60.5, 24 + i / 10));
    await put(server, `v${i}`, model.get(`v${i}`));
  }
  const client = await channelsClient(t, server);
  const sub = await watch(client, HOME);
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => sub.move(box(60, 24 + i / 10, 61, 25 + i / 10))));
  assert.deepEqual(rows(sub), within(model, box(60, 26.9, 61, 27.9)));
  assert.ok(answers.every((a) => Object.keys(a).every((k) => k === 'superseded')));
  assert.deepEqual(answers.at(-1), {});
});

/** A small generator, so that a failure can be run again. */
function randomOf(seed) {
  let x = seed;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}

async function randomWalk(t, seed, config) {
  const server = await startPlaces(t, config);
  const random = randomOf(seed);
  const model = new Map();
  const step = async () => {
    const key = `v${Math.floor(random() * 60)}`;
    const old = model.get(key) ?? at(60 + random(), 24 + random());
    if (random() < 0.05) {
      model.delete(key);
      return remove(server, key);
    }
    const next = at(+(old.lat + (random() - 0.5) / 4).toFixed(6), +(old.lon + (random() - 0.5) / 4).toFixed(6), { mode: random() < 0.1 ? 'tram' : old.mode });
    model.set(key, next);
    return put(server, key, next);
  };
  for (let i = 0; i < 100; i++) await step();
  const randomBox = () => {
    const [south, west] = [59.8 + random(), 23.8 + random()];
    return box(south, west, south + random(), west + random());
  };
  const watchers = [];
  for (const [i, [, protobuf, open]] of [...WAYS, WAYS[0], WAYS[1]].entries()) {
    const client = await open(t, server);
    const geo = randomBox();
    const filter = i >= WAYS.length ? { tagsFilter: { key: 'mode', cmp: 'eq', val: 'tram' } } : {};
    watchers.push({ client, geo, wanted: (v) => i < WAYS.length || v.mode === 'tram', sub: await watch(client, geo, { protobuf, ...filter }) });
  }
  for (let round = 0; round < 6; round++) {
    const busy = watchers.map(async (w) => {
      for (let i = 0; i < 8; i++) {
        w.geo = randomBox();
        await w.sub.move(w.geo).catch((e) => assert.fail(`${e.code} ${e.message}`));
        await sleep(random() * 20);
      }
    });
    for (let i = 0; i < 120; i++) await step();
    await Promise.all(busy);
    for (const [i, w] of watchers.entries()) await holds(w.sub, within(model, w.geo, w.wanted), `watcher ${i} in round ${round}`);
    for (const w of watchers.slice(round % 3, round % 3 + 3)) w.client._transport.close();
    for (let i = 0; i < 30; i++) await step();
    for (const [i, w] of watchers.entries()) {
      await until(() => w.client.state === 'connected' && w.sub.state === 'subscribed', 'back again');
      await holds(w.sub, within(model, w.geo, w.wanted), `watcher ${i} after the cut of round ${round}`);
    }
  }
  assert.ok(watchers.some((w) => w.sub.states.some((s) => s.recovered)));
}

test('a random walk of vehicles under random boxes, with cuts: each table is the model at rest', (t) => randomWalk(t, 7, {}));

test('the same delivered at intervals and compressed', (t) =>
  randomWalk(t, 57, { namespace: { interval_ms: 50 }, server: { compression: true, compression_min_bytes: 1 } }));
