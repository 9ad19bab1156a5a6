// Tags filters of the channels wire with the unmodified client library, in both encodings.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, decoded, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, sleep, slowness, startCrier, until } from '../lib/crier.mjs';

const headers = { 'X-API-Key': API_KEY };
const start = (t) => startCrier({ t, config: { namespace: [
  { name: 'news', history: 100, publish: true },
  { name: 'whole', history: 100, tags_filter: false },
] } });

async function publish(server, channel, n, tags) {
  const { json } = await server.request('POST', '/api/publish', { json: { channel, data: { n }, tags }, headers });
  assert.ok(json.result, JSON.stringify(json));
}

const numberOf = (p) => decoded(p.data).n;
const leaf = (key, cmp, val) => ({ key, cmp, ...(Array.isArray(val) ? { vals: val } : val === undefined ? {} : { val }) });
const all = (...nodes) => ({ op: 'and', nodes });
const any = (...nodes) => ({ op: 'or', nodes });
const not = (node) => ({ op: 'not', nodes: [node] });

/** Tags of the publications 0, 1, 2, ... */
const TAGS = [
  { line: '550', delay: '0' },
  { line: '551', delay: '-12.5' },
  { line: '1', mode: 'tram', delay: '90' },
  { line: '1A', mode: 'tram' },
  {},
  undefined,
  { line: '550', delay: 'late', mode: 'bus' },
  { line: '5510', delay: '1000000000000000000000.1' },
];
const CASES = [
  [leaf('line', 'eq', '550'), [0, 6]],
  [leaf('line', 'neq', '550'), [1, 2, 3, 4, 5, 7]],
  [leaf('line', 'in', ['1', '551']), [1, 2]],
  [leaf('line', 'nin', ['1', '551']), [0, 3, 4, 5, 6, 7]],
  [leaf('mode', 'in', ['', 'bus']), [0, 1, 4, 5, 6, 7]],
  [leaf('mode', 'ex'), [2, 3, 6]],
  [leaf('mode', 'nex'), [0, 1, 4, 5, 7]],
  [leaf('line', 'sw', '55'), [0, 1, 6, 7]],
  [leaf('line', 'ew', 'A'), [3]],
  [leaf('line', 'ct', '51'), [1, 7]],
  [leaf('delay', 'lt', '0'), [1]],
  [leaf('delay', 'lte', '0.0'), [0, 1]],
  [leaf('delay', 'gt', '1000000000000000000000'), [7]],
  [leaf('delay', 'gte', '-12.50'), [0, 1, 2, 7]],
  [all(leaf('line', 'sw', '55'), not(leaf('mode', 'ex'))), [0, 1, 7]],
  [any(leaf('mode', 'eq', 'tram'), all(leaf('line', 'eq', '551'), leaf('delay', 'lt', '-12'))), [1, 2, 3]],
];
const LAST = { line: 'last', mode: 'last', delay: '5' };

for (const protobuf of [false, true]) {
  const kind = protobuf ? 'protobuf' : 'JSON';

  test(`${kind}: every comparison lets through what it should`, async (t) => {
    const server = await start(t);
    const subs = [];
    for (const [filter] of CASES) {
      const client = await channelsClient(t, server, { protobuf });
      // the last publication matches each of them, so that one knows when all have come
      subs.push(await subscribed(client, 'news:a', { tagsFilter: any(filter, leaf('line', 'eq', 'last')) }));
    }
    for (const [n, tags] of TAGS.entries()) await publish(server, 'news:a', n, tags);
    await publish(server, 'news:a', 'last', LAST);
    for (const [i, [filter, expected]] of CASES.entries()) {
      await until(() => publications(subs[i]).some((p) => numberOf(p) === 'last'), `case ${i}`);
      assert.deepEqual(publications(subs[i]).map(numberOf), [...expected, 'last'], JSON.stringify(filter));
    }
  });

  test(`${kind}: what was filtered out counts as seen when the client comes back`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news:a', { tagsFilter: leaf('k', 'eq', 'yes') });
    const send = async (n) => publish(server, 'news:a', n, { k: n % 5 ? 'no' : 'yes' });
    for (let n = 0; n < 20; n++) await send(n);
    await gotPublications(sub, 4);
    client._transport.close();
    for (let n = 20; n < 40; n++) await send(n);
    const got = await gotPublications(sub, 8);
    assert.deepEqual(got.map(numberOf), [0, 5, 10, 15, 20, 25, 30, 35]);
    await publish(server, 'news:a', 40, { k: 'yes' });
    assert.deepEqual((await gotPublications(sub, 9)).map(numberOf).at(-1), 40);
    const again = sub.seen.filter((e) => e.name === 'subscribed').at(-1);
    assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
    assert.equal(sub.seen.filter((e) => e.name === 'unsubscribed').length, 0);
  });

  test(`${kind}: a filter that is not allowed or breaks a rule is error 107`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const bad = [leaf('k', 'eq'), leaf('k', 'xx', 'v'), leaf('', 'sw', 'v'), leaf('k', 'in', []), { op: 'and' }, { op: 'xor', nodes: [leaf('k', 'ex')] },
      { op: 'not', nodes: [leaf('k', 'ex'), leaf('k', 'ex')] }, { key: 'k', cmp: 'eq', val: 'v', vals: ['v'] }];
    const attempts = [['whole:a', leaf('k', 'ex')], ...bad.map((filter, i) => [`news:b${i}`, filter])];
    for (const [channel, tagsFilter] of attempts) {
      const sub = client.newSubscription(channel, { tagsFilter });
      const ended = new Promise((done) => sub.on('unsubscribed', done));
      sub.subscribe();
      assert.equal((await ended).code, 107, JSON.stringify(tagsFilter));
    }
    await subscribed(client, 'whole:a2');
  });

  test(`${kind}: a filter set anew holds from the next subscription on`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news:a', { tagsFilter: leaf('k', 'eq', 'a') });
    const round = async (base) => {
      await publish(server, 'news:a', base, { k: 'a' });
      await publish(server, 'news:a', base + 1, { k: 'b' });
    };
    await round(0);
    await gotPublications(sub, 1);
    sub.unsubscribe();
    sub.setTagsFilter(leaf('k', 'eq', 'b'));
    sub.subscribe();
    await sub.ready(5000 * slowness);
    await round(10);
    // the library comes back with its position: what the first filter held back behind it is wanted now
    assert.deepEqual((await gotPublications(sub, 3)).map(numberOf), [0, 1, 11]);
  });
}

test('a filter with hundreds of nodes works, one beyond the bounds is refused', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  const lines = (count) => any(...Array.from({ length: count }, (_, i) => leaf('line', 'eq', `${i}`)));
  assert.ok((await raw.call({ subscribe: { channel: 'news:a', tf: lines(200) } })).subscribe);
  assert.equal((await raw.call({ subscribe: { channel: 'news:b', tf: lines(400) } })).error.code, 107);
  let deep = leaf('line', 'ex');
  for (let i = 0; i < 20; i++) deep = not(deep);
  const reply = await raw.call({ subscribe: { channel: 'news:c', tf: deep } });
  assert.ok(reply.error?.code === 107 || reply.closed?.code === 3501, JSON.stringify(reply));
  if (reply.closed) return;
  await publish(server, 'news:a', 1, { line: '199' });
  await publish(server, 'news:a', 2, { line: '200' });
  await publish(server, 'news:a', 3, { line: '0' });
  await until(() => raw.pushes('pub').length >= 2, 'pushes');
  await sleep(50);
  assert.deepEqual(raw.pushes('pub').map((p) => p.pub.data.n), [1, 3]);
});

test('subscribers with and without a filter in one channel', async (t) => {
  const server = await start(t);
  const subs = [];
  for (let i = 0; i < 10; i++) {
    const client = await channelsClient(t, server, { protobuf: i % 2 === 1 });
    const options = i < 3 ? {} : { tagsFilter: i < 6 ? leaf('k', 'eq', '0') : leaf('k', 'in', [`${i % 3}`, 'x']) };
    subs.push([await subscribed(client, 'news:a', options), (n) => i < 3 || n % 3 === (i < 6 ? 0 : i % 3)]);
  }
  for (let n = 0; n < 90; n++) await publish(server, 'news:a', n, { k: `${n % 3}` });
  for (const [sub, wanted] of subs) {
    const expected = Array.from({ length: 90 }, (_, n) => n).filter(wanted);
    assert.deepEqual((await gotPublications(sub, expected.length)).map(numberOf), expected);
  }
});
