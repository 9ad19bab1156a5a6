// What the test suites of the client libraries of other languages expect of a server, with the JavaScript one.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RawChannels, channelsClient, gotPublications, subscribed } from '../lib/channels.mjs';
import { sleep, startCrier, until } from '../lib/crier.mjs';

const publish = async (server, channel, data) =>
  server.api('publish', { channel, data });

// ---- channels of users ----

const personal = [
  { name: 'default', history: 10, publish: true, publish_subscribed: true, join_leave: true, push_join_leave: true, personal: true },
  { name: 'inbox', personal: true, user_channels: '@', anonymous: false },
  { name: 'other' },
];
const channelsOf = (client) => client.events_.filter((e) => e.name === 'subscribed').map((e) => e.channel).sort();

for (const protobuf of [false, true]) {
  test(`${protobuf ? 'protobuf' : 'JSON'}: a user's own channels are there from the start`, async (t) => {
    const server = await startCrier({ t, config: { namespace: personal } });
    const client = await channelsClient(t, server, { protobuf, token: server.token({ sub: 'ann' }) });
    assert.deepEqual(channelsOf(client), ['#ann', 'inbox:@ann']);
    await until(() => client.events_.some((e) => e.name === 'join' && e.channel === '#ann' && e.info.user === 'ann'), 'own join');
    const data = protobuf ? new TextEncoder().encode('{"a":1}') : { a: 1 };
    await client.publish('#ann', data);
    const got = await until(() => client.events_.find((e) => e.name === 'publication'), 'publication');
    assert.deepEqual([got.channel, new TextDecoder().decode(protobuf ? got.data : undefined)], ['#ann', protobuf ? '{"a":1}' : '']);
  });
}

test('a user\'s own channel goes on where the connection was cut; others have none', async (t) => {
  const server = await startCrier({ t, config: { namespace: personal } });
  const client = await channelsClient(t, server, { token: server.token({ sub: 'ann' }) });
  await publish(server, '#ann', 1);
  await until(() => client.events_.some((e) => e.name === 'publication'), 'publication');
  client._transport.close();
  await publish(server, '#ann', 2);
  await publish(server, '#ann', 3);
  await until(() => client.events_.filter((e) => e.name === 'publication').length >= 3, 'what was missed');
  assert.deepEqual(client.events_.filter((e) => e.name === 'publication').map((e) => e.data), [1, 2, 3]);
  assert.equal(client.events_.filter((e) => e.name === 'subscribed' && e.channel === '#ann').at(-1).recovered, true);
  const anonymous = await channelsClient(t, server);
  const several = await channelsClient(t, server, { token: server.token({ sub: 'ann,ben' }) });
  await sleep(100);
  assert.deepEqual([channelsOf(anonymous), channelsOf(several)], [[], []]);
});

test('the token\'s options of a user\'s own channel hold', async (t) => {
  const server = await startCrier({ t, config: { namespace: personal } });
  const raw = await RawChannels.open(t, server, { connect: null });
  const reply = await raw.call({ connect: { token: server.token({ sub: 'ann', subs: { '#ann': { data: { from: 'token' } } } }) } });
  assert.deepEqual(Object.keys(reply.connect.subs).sort(), ['#ann', 'inbox:@ann']);
  assert.deepEqual(reply.connect.subs['#ann'].data, { from: 'token' });
});

// ---- what is promised, and no more ----

test('what is older than the history is not recovered, though it would still be at hand', async (t) => {
  const server = await startCrier({ t, config: { namespace: [{ name: 'short', history: 2, publish: true }] } });
  const client = await channelsClient(t, server);
  const sub = await subscribed(client, 'short:a');
  for (const [missed, recovered] of [[2, true], [3, false], [1, true], [5, false]]) {
    sub.unsubscribe();
    for (let i = 0; i < missed; i++) await publish(server, 'short:a', i);
    const before = sub.seen.length;
    sub.subscribe();
    await sub.ready(5000);
    const again = sub.seen.slice(before).find((e) => e.name === 'subscribed');
    assert.deepEqual([again.wasRecovering, again.recovered], [true, recovered], `${missed} missed`);
  }
  const before = sub.seen.filter((e) => e.name === 'publication').length;
  await publish(server, 'short:a', 'live');
  assert.equal((await gotPublications(sub, before + 1)).at(-1).data, 'live');
});

// ---- deltas from the first on ----

test('a map with deltas: what changes after the state is told as a difference to it', async (t) => {
  const server = await startCrier({ t, config: { namespace: [{ name: 'table', keyed: true, delta: true }] } });
  const set = (key, n) => server.api('map_publish', { channel: 'table:a', key, data: { n, text: key.repeat(300) } });
  for (const key of ['x', 'y']) await set(key, 1);
  const client = await channelsClient(t, server);
  const sub = client.newMapSubscription('table:a', { delta: 'fossil' });
  const updates = [];
  sub.on('update', ({ key, data }) => updates.push([key, data.n]));
  sub.subscribe();
  await sub.ready(5000);
  for (const n of [2, 3]) for (const key of ['x', 'y']) await set(key, n);
  await until(() => updates.length === 4, 'updates');
  assert.deepEqual(updates, [['x', 2], ['y', 2], ['x', 3], ['y', 3]]);
  const { numFullPayloads, numDeltaPayloads, bytesReceived, bytesDecoded } = sub.deltaStats();
  assert.deepEqual([numFullPayloads, numDeltaPayloads], [2, 4]); // the state, then all that follows
  assert.ok(bytesReceived < bytesDecoded);
});
