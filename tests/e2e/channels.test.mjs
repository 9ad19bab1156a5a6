// The channels wire over WebSocket with the unmodified client library.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, sleep, startCrier, until } from '../lib/crier.mjs';

const key = { 'X-API-Key': API_KEY };
const namespaces = [
  { name: 'default', publish: true, history: 100, presence: true, join_leave: true },
  { name: 'quiet', history: 0 },
  { name: 'short', publish: true, history: 3 },
  { name: 'cache', publish: true, history: 10, recovery: 'cache' },
];
const start = (t, more = {}) => startCrier({ t, config: { namespace: namespaces, ...more } });
const publish = async (server, channel, data) =>
  (await server.request('POST', '/api/publish', { json: { channel, data }, headers: key })).json.result;

for (const protobuf of [false, true]) {
  const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);
  const kind = protobuf ? 'protobuf' : 'JSON';

  test(`${kind}: connect, subscribe, publish, and the publication with who sent it`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news');
    await sub.publish(encode({ text: 'hällo\nworld' }));
    await publish(server, 'news', { by: 'server' });
    const [first, second] = await gotPublications(sub, 2);
    assert.deepEqual(decode(first.data), { text: 'hällo\nworld' });
    assert.equal(first.info.client.length > 0, true);
    assert.deepEqual([first, second].map((p) => Number(p.offset)), [1, 2]);
    assert.equal(second.info, undefined);
  });

  test(`${kind}: history, presence and presence stats`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news');
    for (let i = 1; i <= 5; i++) await publish(server, 'news', { i });
    await gotPublications(sub, 5);
    const all = await sub.history({ limit: -1 });
    assert.deepEqual(all.publications.map((p) => decode(p.data).i), [1, 2, 3, 4, 5]);
    assert.equal(Number(all.offset), 5);
    const some = await sub.history({ limit: 2, since: { offset: 2, epoch: all.epoch } });
    assert.deepEqual(some.publications.map((p) => Number(p.offset)), [3, 4]);
    const back = await sub.history({ limit: 2, reverse: true });
    assert.deepEqual(back.publications.map((p) => Number(p.offset)), [5, 4]);
    assert.deepEqual((await sub.history({ limit: 0 })).publications, []);
    const { clients } = await sub.presence();
    assert.equal(Object.keys(clients).length, 1);
    const stats = await sub.presenceStats();
    assert.deepEqual([stats.numClients, stats.numUsers], [1, 1]);
  });

  test(`${kind}: what was missed while the socket was cut comes once and in order`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news');
    await publish(server, 'news', { i: 1 });
    await gotPublications(sub, 1);
    for (let round = 0; round < 5; round++) {
      client._transport.close();
      const base = 2 + round * 10;
      for (let i = base; i < base + 10; i++) await publish(server, 'news', { i });
      const got = await gotPublications(sub, base + 9);
      assert.deepEqual(got.map((p) => decode(p.data).i), Array.from({ length: base + 9 }, (_, i) => i + 1));
    }
    const again = sub.seen.filter((e) => e.name === 'subscribed').slice(1);
    assert.ok(again.length >= 5 && again.every((e) => e.wasRecovering && e.recovered));
  });
}

test('the position survives a restart of the server where the log does', async (t) => {
  const server = await startCrier({ t, config: {
    namespace: [{ name: 'log', history: 1000, publish: true }],
    bridge: [{ name: 'queue', driver: 'embedded', servers: 'data/log.db' }],
    source: [{ bridge: 'queue', topic: 'log', from: 'history', channel: 'log:{key}' }],
    sink: [{ channel: 'log:*', bridge: 'queue', topic: 'log', key: '{channel.1}' }],
  } });
  const client = await channelsClient(t, server);
  const sub = await subscribed(client, 'log:a');
  for (let i = 0; i < 10; i++) await publish(server, 'log:a', i);
  await gotPublications(sub, 10);
  await server.kill('SIGKILL');
  await server.restart();
  for (let i = 10; i < 20; i++) await publish(server, 'log:a', i);
  const got = await gotPublications(sub, 20);
  assert.deepEqual(got.map((p) => p.data), Array.from({ length: 20 }, (_, i) => i));
  assert.deepEqual(got.map((p) => p.offset), Array.from({ length: 20 }, (_, i) => i + 1));
  const last = sub.seen.filter((e) => e.name === 'subscribed').at(-1);
  assert.deepEqual([last.wasRecovering, last.recovered], [true, true]);
});

test('recovery as the table of the protocol has it', async (t) => {
  const server = await start(t);
  for (let i = 1; i <= 4; i++) await publish(server, 'default:t', i).catch(() => {});
  for (let i = 1; i <= 4; i++) await publish(server, 'tab', { i });
  const ask = async (subscribe) => {
    const raw = await RawChannels.open(t, server);
    const reply = await raw.call({ subscribe: { channel: 'tab', ...subscribe } });
    raw.socket.terminate();
    return reply.subscribe ?? reply.error;
  };
  const { epoch, ...fresh } = await ask({});
  assert.deepEqual(fresh, { recoverable: true, positioned: true, offset: 4 });
  for (const e of [epoch, undefined]) {
    const two = await ask({ recover: true, offset: 2, epoch: e });
    assert.deepEqual([two.recovered, two.was_recovering, two.offset, two.publications.map((p) => p.offset)], [true, true, 2, [3, 4]]);
    const zero = await ask({ recover: true, epoch: e });
    assert.deepEqual([zero.recovered, zero.offset, zero.publications.length], [true, undefined, 4]);
  }
  const four = await ask({ recover: true, offset: 4, epoch });
  assert.deepEqual([four.recovered, four.offset, four.publications], [true, 4, undefined]);
  for (const bad of [{ offset: 99, epoch }, { offset: 2, epoch: 'other' }]) {
    const lost = await ask({ recover: true, ...bad });
    assert.deepEqual([lost.recovered, lost.was_recovering, lost.offset, lost.publications], [undefined, true, 4, undefined]);
    assert.equal((await ask({ recover: true, flag: 3, ...bad })).code, 112);
  }
  for (let i = 1; i <= 5; i++) await publish(server, 'short:t', i);
  const trim = async (offset) => {
    const raw = await RawChannels.open(t, server);
    return (await raw.call({ subscribe: { channel: 'short:t', recover: true, offset } })).subscribe;
  };
  assert.equal((await trim(2)).recovered, true);
  assert.equal((await trim(1)).recovered, undefined);
});

test('cache recovery hands over the newest, wherever the client was', async (t) => {
  const server = await start(t);
  const ask = async (subscribe) => (await (await RawChannels.open(t, server)).call({ subscribe: { channel: 'cache:t', recover: true, ...subscribe } })).subscribe;
  const empty = await ask({ offset: 0 });
  assert.deepEqual([empty.recovered, empty.was_recovering, empty.publications], [undefined, true, undefined]);
  for (let i = 1; i <= 3; i++) await publish(server, 'cache:t', i);
  for (const position of [{ offset: 1 }, { offset: 0 }, { offset: 99, epoch: 'other' }]) {
    const reply = await ask(position);
    assert.deepEqual([reply.recovered, reply.publications.map((p) => p.data)], [true, [3]]);
  }
  const { epoch } = await ask({});
  const same = await ask({ offset: 3, epoch });
  assert.deepEqual([same.recovered, same.publications], [true, undefined]);
});

test('commands that are none close the connection with 3501', async (t) => {
  const server = await start(t);
  for (const text of ['', '{', '[]', '{"id":1}', '{"id":1,"nothing":{}}', '{"connect":{}}', '{"id":1,"subscribe":{"channel":"a"}}', '{"id":1,"connect":[]}']) {
    const raw = await RawChannels.open(t, server, { connect: null });
    raw.send(text);
    assert.deepEqual(await raw.closed, { code: 3501, reason: 'bad request' }, text);
  }
  const raw = await RawChannels.open(t, server);
  raw.send({ id: 9, connect: {} });
  assert.equal((await raw.closed).code, 3501);
});

test('many commands in one frame, answered each', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server, { connect: null });
  raw.send({ id: 1, connect: {} }, { id: 2, subscribe: { channel: 'a' } }, { id: 3, subscribe: { channel: 'b' } }, { id: 4, ping: {} },
    { id: 5, subscribe: { channel: 'nowhere:x' } }, { id: 6, rpc: { method: 'x' } }, { id: 7, unsubscribe: { channel: 'a' } });
  for (const id of [1, 2, 3, 4, 5, 6, 7]) await raw.reply(id);
  assert.equal((await raw.reply(5)).error.code, 102);
  assert.equal((await raw.reply(6)).error.code, 108);
  assert.deepEqual((await raw.reply(7)).unsubscribe, {});
  await publish(server, 'a', 1);
  await publish(server, 'b', 2);
  await until(() => raw.pushes('pub').length, 'push');
  await sleep(50);
  assert.deepEqual(raw.pushes('pub').map((p) => [p.channel, p.pub.data]), [['b', 2]]);
});

test('a second subscribe is 105, unsubscribing what is not subscribed is fine', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  await raw.call({ subscribe: { channel: 'a' } });
  assert.equal((await raw.call({ subscribe: { channel: 'a' } })).error.code, 105);
  assert.deepEqual((await raw.call({ unsubscribe: { channel: 'zzz' } })).unsubscribe, {});
});

test('join and leave, to those who ask', async (t) => {
  const server = await start(t);
  const one = await subscribed(await channelsClient(t, server), 'room', { joinLeave: true });
  const deaf = await subscribed(await channelsClient(t, server), 'room');
  const other = await channelsClient(t, server);
  const sub = await subscribed(other, 'room');
  await until(() => one.seen.filter((e) => e.name === 'join').length >= 3, 'joins');
  sub.unsubscribe();
  await until(() => one.seen.some((e) => e.name === 'leave'), 'leave');
  assert.equal(deaf.seen.filter((e) => e.name === 'join' || e.name === 'leave').length, 0);
});

test('pings are answered, silence ends the connection, also when pongs have longer than it is to the next ping', async (t) => {
  const server = await start(t, { limits: { ping_ms: 300, pong_ms: 5000 } });
  const good = await channelsClient(t, server);
  const raw = await RawChannels.open(t, server, { pongs: false });
  const tardy = await RawChannels.open(t, server, { pongs: false });
  const pings = (client) => client.replies.filter((r) => Object.keys(r).length === 0).length;
  await until(() => pings(tardy) >= 2, 'two pings');
  for (let answered = pings(tardy); answered; answered--) tardy.send('{}');
  const end = await raw.closed;
  assert.equal(end.code, 3012);
  assert.ok(pings(raw) >= 2, `${pings(raw)} pings before the end`);
  assert.equal(tardy.close, undefined);
  assert.equal(good.state, 'connected');
  const late = await RawChannels.open(t, server);
  late.send('{}');
  assert.equal((await late.closed).code, 3501);
});

test('tokens: good, expired, bad, and the channels they bring', async (t) => {
  const server = await start(t, { auth: { anonymous: false } });
  const token = server.token({ sub: 'ann', info: { name: 'Ann' }, channels: ['news'] });
  const client = await channelsClient(t, server, { token });
  await until(() => client.events_.some((e) => e.name === 'subscribed' && e.channel === 'news'), 'server-side subscription');
  await publish(server, 'news', 1);
  await until(() => client.events_.some((e) => e.name === 'publication'), 'publication');
  const { clients } = await client.presence('news');
  assert.deepEqual(Object.values(clients).map((c) => [c.user, c.connInfo]), [['ann', { name: 'Ann' }]]);
  const tries = [[undefined, 3501], ['x.y.z', 3500], [server.token({ sub: 'ann' }, { secret: 'another-secret-another-secret-0000' }), 3500]];
  for (const [bad, code] of tries) {
    const raw = await RawChannels.open(t, server, { connect: null });
    raw.send({ id: 1, connect: { token: bad } });
    assert.equal((await raw.closed).code, code);
  }
  const raw = await RawChannels.open(t, server, { connect: null });
  assert.equal((await raw.call({ connect: { token: server.token({ sub: 'ann', exp: 1000 }) } })).error.code, 109);
});

test('nothing of the channels of a token comes before the answer to connect, and nothing is missing behind it', async (t) => {
  const server = await start(t);
  const token = server.token({ sub: 'ann', channels: Array.from({ length: 8 }, (_, i) => `c${i}`) });
  let publishing = true;
  const writer = (async () => { for (let n = 0; publishing; n++) await publish(server, `c${n % 8}`, n); })();
  for (let round = 0; round < 60; round++) {
    const raw = await RawChannels.open(t, server, { connect: { token } });
    await sleep(20);
    const [answer, ...rest] = raw.replies;
    assert.equal(answer.id, 1, JSON.stringify(answer));
    const next = Object.fromEntries(Object.entries(answer.connect.subs).map(([channel, sub]) => [channel, (sub.offset ?? 0) + 1]));
    for (const { channel, pub } of rest.map((reply) => reply.push).filter((push) => push?.pub)) assert.equal(pub.offset, next[channel]++, channel);
    raw.socket.terminate();
  }
  publishing = false;
  await writer;
});

test('a session whose token is over is refreshed by the library', async (t) => {
  const server = await start(t);
  const now = () => Math.floor(Date.now() / 1000);
  let asked = 0;
  const client = await channelsClient(t, server, {
    token: server.token({ sub: 'ann', exp: now() + 2 }),
    getToken: async () => { asked++; return server.token({ sub: 'ann', exp: now() + 100 }); },
  });
  await until(() => asked > 0, 'refresh', 8000);
  await sleep(200);
  assert.equal(client.state, 'connected');
});

test('fast pairs of subscribe and unsubscribe end in the state of the last one', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  const commands = [];
  for (let i = 0; i < 20; i++) commands.push({ id: 100 + i, [i % 2 ? 'unsubscribe' : 'subscribe']: { channel: 'flip' } });
  raw.send(...commands);
  for (let i = 0; i < 20; i++) await raw.reply(100 + i);
  const stats = await raw.call({ presence_stats: { channel: 'flip' } });
  assert.deepEqual(stats.presence_stats, { num_clients: 0, num_users: 0 });
  assert.ok(publications({ seen: [] }).length === 0);
});
