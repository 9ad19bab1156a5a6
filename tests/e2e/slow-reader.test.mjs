// A client that stops reading: what each policy does to it, and that nobody else notices.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { buildDir, slowness, startCrier, until } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const COUNT = slowness > 1 ? 600 : 2000;
const PAD = 'x'.repeat(10000);

/** Server, a reader that keeps up, and one that stops while COUNT publications of 10 kB are made; both subscribed. */
async function scene(t, namespace, makePublication = (n) => ({ data: { n, pad: PAD } })) {
  const server = await startCrier({ t, config: {
    server: { send_buffer_bytes: '256KiB' }, limits: { rate_messages: 0, frame_log_bytes: '1MiB', ping_ms: '10m' },
    namespace: [{ name: 'default', publish: true, history: COUNT + 100, ...namespace }] } });
  const fast = await server.typed();
  const slow = await server.typed();
  for (const client of [fast, slow]) await client.subscribe('news');
  slow.pause();
  const writer = await server.typed();
  const before = server.rss();
  let last;
  for (let n = 0; n < COUNT; n++) {
    last = await writer.publish('news', ...Object.values(makePublication(n)));
    await until(() => offsetsOf(fast).length > n - 30, 'the fast reader keeps up');
  }
  return { server, fast, slow, writer, last, grown: () => server.rss() - before };
}

const offsetsOf = (client) => client.messages.filter((m) => m.channel === 'news' && m.type === 1).map((m) => m.offset);

test('skip: a gap notice with first and last lost offset, then live', async (t) => {
  const { server, fast, slow, writer, last } = await scene(t, { behind: 'skip' });
  assert.equal((await fast.publications('news', COUNT, 20000)).length, COUNT);
  slow.resume();
  const end = await writer.publish('news', { n: 'end' });
  await until(() => offsetsOf(slow).includes(end.offset), 'the slow one is live again', 20000);
  const got = offsetsOf(slow);
  const gaps = slow.messages.filter((m) => m.type === TYPE.gap).map((m) => m.payload);
  assert.ok(gaps.length >= 1, 'no gap notice');
  const covered = new Set(got);
  for (const gap of gaps) for (let o = gap.first; o <= gap.last; o++) {
    assert.ok(!covered.has(o), `offset ${o} is in a gap and was delivered`);
    covered.add(o);
  }
  assert.equal(covered.size, end.offset - (last.offset - COUNT), 'neither delivered nor named as lost');
  assert.deepEqual(got, [...got].sort((a, b) => a - b));
  assert.ok((await server.metrics()).value('crier_gaps_total') >= 1);
});

test('resync: the subscription ends with 2500, and a resume from the last position is complete', async (t) => {
  const { fast, slow, last } = await scene(t, { behind: 'resync' });
  assert.equal((await fast.publications('news', COUNT, 20000)).length, COUNT);
  slow.resume();
  const ended = await slow.nextType(TYPE.unsubscribed, 20000 * slowness);
  assert.deepEqual([ended.payload.channel, ended.payload.code], ['news', 2500]);
  const got = offsetsOf(slow);
  slow.messages = [];
  const subscribed = await slow.subscribe('news', { epoch: last.epoch, offset: got.at(-1) ?? last.offset - COUNT });
  assert.equal(subscribed.recovered, true);
  await slow.publications('news', COUNT - got.length, 20000 * slowness);
});

test('close: the session ends with 3008', async (t) => {
  const { server, fast, slow } = await scene(t, { behind: 'close' });
  assert.equal((await fast.publications('news', COUNT, 20000)).length, COUNT);
  slow.resume();
  const { code } = await slow.closed;
  assert.equal(code, 3008);
  assert.equal((await server.metrics()).value('crier_closes_total', { code: 3008 }), 1);
});

test('conflate: the newest of each key, then live', async (t) => {
  const { fast, slow, writer } = await scene(t, { behind: 'conflate', keyed: true },
    (n) => ({ data: { k: n % 10, n, pad: PAD }, more: { key: `k${n % 10}` } }));
  await fast.publications('news', COUNT, 20000);
  slow.resume();
  const end = await writer.publish('news', { k: 'end', n: COUNT }, { key: 'end' });
  await until(() => offsetsOf(slow).includes(end.offset), 'the slow one is live again', 20000);
  const state = new Map(slow.messages.filter((m) => m.channel === 'news' && m.type === 1).map((m) => [m.payload.k, m.payload.n]));
  assert.deepEqual([...state].sort(), [...Array.from({ length: 10 }, (_, k) => [k, COUNT - 10 + k]), ['end', COUNT]].sort());
  assert.ok(offsetsOf(slow).length < COUNT / 2, 'nothing was conflated');
});

test('memory stays bounded however far the slow one is behind', { skip: slowness > 1 && 'memory of a sanitizer build tells nothing' }, async (t) => {
  const { grown, slow } = await scene(t, { behind: 'skip', history: 10 });
  assert.ok(grown() < 12 << 20, `grew by ${grown()} bytes for ${COUNT * PAD.length} published`);
  slow.terminate();
});

test('a client that sends but does not read is not read from either', { skip: slowness > 1 && 'memory of a sanitizer build tells nothing' }, async (t) => {
  const server = await startCrier({ t, config: { server: { send_buffer_bytes: '16KiB' }, limits: { rate_messages: 0 } } });
  const client = await server.typed();
  client.pause();
  const before = server.rss();
  const flood = setInterval(() => {
    for (let i = 0; i < 500 && client.ws.readyState === 1; i++) client.send(TYPE.ping, {}, 'x'.repeat(100));
  }, 5);
  t.after(() => clearInterval(flood));
  await until(() => client.ws.bufferedAmount > 10 << 20, 'the client cannot send more', 20000);
  clearInterval(flood);
  assert.ok(server.rss() - before < 4 << 20, `the server grew by ${server.rss() - before} bytes`);
  client.terminate();
});

test('messages to a client that does not read are bounded by outbox_bytes, then 3008', async (t) => {
  const server = await startCrier({ t, config: { server: { send_buffer_bytes: '16KiB', module_dir: join(buildDir, 'tests', 'modules') },
    limits: { rate_messages: 0, outbox_bytes: '128KiB' }, module: [{ name: 'prober' }] } });
  const client = await server.typed();
  client.pause();
  const sender = await server.typed();
  sender.onMessage = (m) => m.type === 200; // its own copies of the broadcast
  const closed = async () => (await server.metrics()).value('crier_limit_outbox_total') === 1;
  for (let i = 0; i < 3000 && !(i % 50 === 0 && (await closed())); i++) {
    sender.send(105, { pad: PAD });
    if (i % 10 === 0) await sender.request(TYPE.ping, {});
  }
  assert.ok(await closed());
  client.resume();
  assert.equal((await client.closed).code, 3008);
});
