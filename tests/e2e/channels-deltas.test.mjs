// Deltas, tags filters and payloads that are no JSON, with the unmodified client library of the channels wire.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, startCrier, until } from '../lib/crier.mjs';

const namespaces = [
  { name: 'd', history: 1000, delta: true, force_recovery: true },
  { name: 'ask', history: 100, delta: true, delta_publish: false },
  { name: 'f', history: 100, force_recovery: true },
  { name: 'nf', tags_filter: false },
];
const start = (t, more = {}) => startCrier({ t, config: { namespace: namespaces, ...more } });
const api = async (server, method, json) => {
  const { json: answer } = await server.request('POST', `/api/${method}`, { json, headers: { 'X-API-Key': API_KEY } });
  assert.equal(answer.error, undefined, JSON.stringify(answer));
  return answer.result;
};
const document = (n) => ({ n, text: `größe ${'äöü €'[n % 5]} 🚌${'x'.repeat(n % 7)} und gleich bleibt ${'abcdefghij'.repeat(20)}`, list: [n, n + 1] });

for (const protobuf of [false, true]) {
  const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);
  const kind = protobuf ? 'protobuf' : 'JSON';

  test(`${kind}: one publication in full, then deltas, over reconnects and bursts`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const plain = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'd:x', { delta: 'fossil' });
    const other = await subscribed(plain, 'd:x');
    let n = 0;
    const publish = () => api(server, 'publish', { channel: 'd:x', data: document(n++) });
    for (let i = 0; i < 20; i++) await publish();
    await gotPublications(sub, n);
    assert.deepEqual([sub._deltaNumFull, sub._deltaNumDelta], [1, 19]);
    for (let round = 0; round < 6; round++) {
      client._transport.close();
      await Promise.all(Array.from({ length: 15 }, publish));
      await publish();
      await gotPublications(sub, n);
    }
    await Promise.all(Array.from({ length: 100 }, publish));
    await gotPublications(sub, n);
    await gotPublications(other, n);
    assert.deepEqual(publications(sub).map((p) => Number(p.offset)), Array.from({ length: n }, (_, i) => i + 1));
    assert.deepEqual(publications(sub).map((p) => decode(p.data)), publications(other).map((p) => decode(p.data)));
    assert.deepEqual(client.events_.filter((e) => e.name === 'error'), []);
  });

  test(`${kind}: a filter lets through what it names, live and recovered`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const line = (val) => ({ key: 'line', cmp: 'eq', val });
    const sub = await subscribed(client, 'f:x', { tagsFilter: { op: 'or', nodes: [line('1'), line('3')] } });
    const publish = (i) => api(server, 'publish', { channel: 'f:x', data: { i }, tags: { line: String(i % 5) } });
    for (let i = 1; i <= 10; i++) await publish(i);
    const live = await gotPublications(sub, 4);
    assert.deepEqual(live.map((p) => decode(p.data).i), [1, 3, 6, 8]);
    client._transport.close();
    for (let i = 11; i <= 20; i++) await publish(i);
    const all = await gotPublications(sub, 8);
    assert.deepEqual(all.map((p) => decode(p.data).i), [1, 3, 6, 8, 11, 13, 16, 18]);
    assert.ok(sub.seen.filter((e) => e.name === 'subscribed').at(-1).recovered);
  });
}

test('without delta_publish those are deltas that were published as such', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  const { subscribe } = await raw.call({ subscribe: { channel: 'ask:x', delta: 'fossil' } });
  assert.equal(subscribe.delta, true);
  for (const delta of [true, false, true, true])
    await api(server, 'publish', { channel: 'ask:x', data: { same: 'abcdefghij'.repeat(20) }, delta });
  await until(() => raw.pushes('pub').length === 4, 'four pushes');
  assert.deepEqual(raw.pushes('pub').map((p) => p.pub.delta ?? false), [false, false, true, true]);
  assert.ok(raw.pushes('pub').every((p) => typeof p.pub.data === 'string'));
});

test('deltas are not told where there are none, and not made under a filter', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  const none = await raw.call({ subscribe: { channel: 'f:x', delta: 'fossil' } });
  assert.equal(none.subscribe.delta, undefined);
  const both = await raw.call({ subscribe: { channel: 'd:x', delta: 'fossil', tf: { key: 'a', cmp: 'nex' } } });
  assert.equal(both.subscribe.delta, undefined);
  await api(server, 'publish', { channel: 'd:x', data: { a: 1 } });
  await until(() => raw.pushes('pub').length === 1, 'a push');
  assert.deepEqual(raw.pushes('pub')[0].pub.data, { a: 1 });
});

test('filters that are none, or not allowed, are refused with 107', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  for (const tf of [{}, { key: 'a', cmp: 'eq' }, { op: 'and' }, { op: 'not', nodes: [] }, { key: 'a', cmp: 'like', val: 'b' }])
    assert.equal((await raw.call({ subscribe: { channel: 'f:x', tf } })).error?.code, 107, JSON.stringify(tf));
  raw.send({ id: 99, subscribe: { channel: 'f:x', tf: 7 } });
  assert.equal((await raw.closed).code, 3501);
  const again = await RawChannels.open(t, server);
  assert.equal((await again.call({ subscribe: { channel: 'nf:x', tf: { key: 'a', cmp: 'ex' } } })).error.code, 107);
  assert.deepEqual((await again.call({ subscribe: { channel: 'f:x' } })).error, undefined);
});

test('bytes that are no JSON close who reads JSON with 3506, and no one else', async (t) => {
  const server = await start(t);
  const json = await RawChannels.open(t, server);
  await json.call({ subscribe: { channel: 'f:x' } });
  const elsewhere = await RawChannels.open(t, server);
  await elsewhere.call({ subscribe: { channel: 'd:x' } });
  const binary = await channelsClient(t, server, { protobuf: true });
  const sub = await subscribed(binary, 'f:x');
  await api(server, 'publish', { channel: 'f:x', b64data: Buffer.from([0xff, 0x00, 0x7b]).toString('base64') });
  const [got] = await gotPublications(sub, 1);
  assert.deepEqual([...got.data], [0xff, 0x00, 0x7b]);
  assert.equal((await json.closed).code, 3506);
  assert.equal(elsewhere.close, undefined);
  assert.equal(binary.state, 'connected');
});
