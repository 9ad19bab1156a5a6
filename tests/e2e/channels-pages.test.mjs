// A long way back on the channels wire: more than one page of limits.recover, read from the log as the client takes it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, decoded, subscribed, publications } from '../lib/channels.mjs';
import { API_KEY, sleep, slowness, startCrier, until } from '../lib/crier.mjs';

const COUNT = 1500;
const READERS = slowness > 1 ? 20 : 100;
const headers = { 'X-API-Key': API_KEY };
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

const config = (limits, namespace) => ({
  limits: { rate_messages: 0, recover: 100, ...limits },
  log: { level: 'info' },
  namespace: [{ name: 'chat', history: 20, delta: true, ...namespace }],
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
  source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
  sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
});

async function publish(server, first, last, pad = '') {
  const commands = range(first, last).map((n) => ({ publish: { channel: 'chat:a', data: { n, pad }, tags: { odd: String(n % 2) } } }));
  for (let i = 0; i < commands.length; i += 250) {
    const { json } = await server.request('POST', '/api/batch', { json: { commands: commands.slice(i, i + 250) }, headers });
    assert.ok(json.replies.every((reply) => !reply.error), JSON.stringify(json.replies.find((reply) => reply.error)));
  }
}

/** A server with COUNT publications behind the first, and the position of the first. */
async function prepared(t, limits, pad, namespace) {
  const server = await startCrier({ t, config: config(limits, namespace) });
  await publish(server, 0, 0);
  const since = await until(async () => (await server.api('history', { channel: 'chat:a', limit: 1 })).publications?.length
    && server.api('history', { channel: 'chat:a' }), 'the first');
  await publish(server, 1, COUNT, pad);
  return { server, since: { epoch: since.epoch, offset: since.offset } };
}

const numbers = (sub) => publications(sub).map(({ data }) => decoded(data).n);

const kinds = { JSON: {}, protobuf: { protobuf: true }, deltas: { sub: { delta: 'fossil' } },
  'a filter': { sub: { tagsFilter: { key: 'odd', cmp: 'eq', val: '1' } } } };
for (const [name, { protobuf, sub: options }] of Object.entries(kinds)) {
  test(`${name}: all that was missed comes, in order, while others publish`, async (t) => {
    const { server, since } = await prepared(t);
    const client = await channelsClient(t, server, { protobuf });
    const live = (async () => { for (let n = COUNT + 1; n <= COUNT + 30; n++) await publish(server, n, n); })();
    const sub = await subscribed(client, 'chat:a', { since, ...options });
    await live;
    const wanted = range(1, COUNT + 30).filter((n) => name !== 'a filter' || n % 2);
    await until(() => numbers(sub).length >= wanted.length, () => `${numbers(sub).length} of ${wanted.length}`, 20000);
    await sleep(50);
    assert.deepEqual(numbers(sub), wanted);
    assert.equal(sub.seen.find((e) => e.name === 'subscribed').recovered, true);
    assert.ok((await server.metrics()).value('crier_limit_recover_total') > 3, 'in pages');
  });
}

test('a client that is cut between two pages goes on where it was', async (t) => {
  const { server, since } = await prepared(t, { recover: 20 });
  const client = await channelsClient(t, server);
  const sub = await subscribed(client, 'chat:a', { since });
  for (let cuts = 0; cuts < 5; cuts++) {
    const have = numbers(sub).length;
    await until(() => numbers(sub).length > have || have >= COUNT, 'more');
    client._transport.close();
    await client.ready(5000 * slowness);
  }
  await until(() => numbers(sub).length >= COUNT, () => `${numbers(sub).length} of ${COUNT}`, 20000);
  assert.deepEqual(numbers(sub), range(1, COUNT));
});

test('one that leaves between two pages leaves nothing behind, and may come again', async (t) => {
  const { server, since } = await prepared(t, { recover: 5 });
  const raw = await RawChannels.open(t, server);
  for (let round = 0; round < 5; round++) {
    assert.equal((await raw.call({ subscribe: { channel: 'chat:a', recover: true, ...since } })).subscribe.recovered, true);
    await sleep(round * 3);
    assert.ok((await raw.call({ unsubscribe: { channel: 'chat:a' } })).unsubscribe);
    const { length } = raw.replies;
    await sleep(30);
    assert.equal(raw.replies.length, length, 'nothing comes after the answer');
  }
  const { result } = (await server.request('POST', '/api/info', { json: {}, headers })).json;
  assert.equal(result.nodes[0].num_subs, 0);
});

test('clients that ask for everything and read nothing cost a page each', async (t) => {
  const { server, since } = await prepared(t, { recover: 10000, recover_bytes: '64KiB' }, 'x'.repeat(4000));
  const before = server.rss();
  const readers = await Promise.all(Array.from({ length: READERS }, () => RawChannels.open(t, server)));
  await Promise.all(readers.map(async (raw, i) => {
    raw.send({ id: 9, subscribe: { channel: 'chat:a', recover: true, epoch: since.epoch, offset: since.offset + i } }); // none shares another's page
    await until(() => raw.replies.find((reply) => reply.id === 9), 'answer');
    raw.socket.pause();
  }));
  await sleep(1500);
  if (slowness === 1) assert.ok(server.rss() - before < READERS * 2 * 65536 + 8e6, `${((server.rss() - before) / 1e6).toFixed(1)} MB for ${(READERS * COUNT * 4000) / 1e6} MB that were missed`);
  for (const raw of readers) raw.socket.resume();
  const got = (raw) => raw.replies.flatMap((reply) => [...(reply.subscribe?.publications ?? []), ...(reply.push?.pub ? [reply.push.pub] : [])]);
  await until(() => readers.every((raw, i) => raw.close || got(raw).length >= COUNT - i), 'all everywhere', 60000);
  readers.forEach((raw, i) => assert.deepEqual(got(raw).map((pub) => pub.data.n), range(i + 1, COUNT)));
});
