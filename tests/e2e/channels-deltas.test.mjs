// How many publications come in full where there are deltas, and payloads that are no JSON, on the channels wire.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, startCrier, until } from '../lib/crier.mjs';

const namespaces = [
  { name: 'd', history: 1000, delta: true, force_recovery: true },
  { name: 'f', history: 100, force_recovery: true },
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
}

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
