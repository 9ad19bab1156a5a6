// Fossil deltas of the channels wire, with the unmodified client library in both encodings, and frame by frame.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Centrifuge } from 'centrifuge';
import { RawChannels, channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, sleep, startCrier, until } from '../lib/crier.mjs';
import { TRANSPORTS, streamClient } from '../lib/streams.mjs';

const key = { 'X-API-Key': API_KEY };
const start = (t, more = {}) => startCrier({ t, config: { namespace: [
  { name: 'news', delta: true, history: 100, publish: true },
  { name: 'plain', history: 100 },
  { name: 'rare', delta: true, delta_publish: false, history: 100 },
  { name: 'table', delta: true, keyed: true },
], ...more } });

/** Publishes the text as it stands: what deltas are made of is not this language's rendering. */
async function publishRaw(server, channel, text, more = '') {
  const body = Buffer.from(`{"channel":${JSON.stringify(channel)},"data":${text}${more}}`);
  const { status, json } = await server.request('POST', '/api/publish',
    { body, headers: { ...key, 'Content-Type': 'application/json' } });
  assert.equal(status, 200);
  assert.ok(json.result, JSON.stringify(json));
  return json.result;
}

const PAD = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(4);
const doc = (n, text = PAD) => JSON.stringify({ n, pad: text });
const publish = (server, channel, n, text) => publishRaw(server, channel, doc(n, text));
const decoder = new TextDecoder();
/** The payload as text, as it was published. */
const textOf = (p) => (p.data instanceof Uint8Array ? decoder.decode(p.data) : JSON.stringify(p.data));

async function rawSubscriber(t, server, subscribe) {
  const raw = await RawChannels.open(t, server);
  return { raw, reply: await raw.call({ subscribe }) };
}

const gotPushes = (raw, count) =>
  until(() => raw.pushes('pub').length >= count && raw.pushes('pub').map((p) => p.pub), `${count} pushes`);

test('the first push is full, those after it are deltas while they are shorter', async (t) => {
  const server = await start(t);
  const { raw, reply } = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil' });
  assert.equal(reply.subscribe.delta, true);
  await publish(server, 'news:a', 1);
  await publish(server, 'news:a', 2);
  await publishRaw(server, 'news:a', '"x"');
  await publish(server, 'news:a', 3);
  await publish(server, 'news:a', 4);
  const pubs = await gotPushes(raw, 5);
  assert.deepEqual(pubs.map((p) => p.delta), [undefined, true, undefined, undefined, true]);
  assert.deepEqual(pubs.map((p) => typeof p.data), Array(5).fill('string'));
  assert.equal(pubs[0].data, doc(1));
  assert.ok(pubs[1].data.length < 40, pubs[1].data);
  assert.equal(pubs[2].data, '"x"');
});

test('a subscription without deltas, and a channel that makes none, get plain data', async (t) => {
  const server = await start(t);
  const withDeltas = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil' });
  const without = await rawSubscriber(t, server, { channel: 'news:a' });
  const refused = await rawSubscriber(t, server, { channel: 'plain:a', delta: 'fossil' });
  assert.equal(without.reply.subscribe.delta, undefined);
  assert.equal(refused.reply.subscribe.delta, undefined);
  for (let n = 1; n <= 3; n++) {
    await publish(server, 'news:a', n);
    await publish(server, 'plain:a', n);
  }
  await gotPushes(withDeltas.raw, 3);
  for (const { raw } of [without, refused])
    assert.deepEqual((await gotPushes(raw, 3)).map((p) => [p.data.n, p.delta]), [[1, undefined], [2, undefined], [3, undefined]]);
});

test('another kind of delta is a bad request', async (t) => {
  const server = await start(t);
  const raw = await RawChannels.open(t, server);
  raw.send({ id: 7, subscribe: { channel: 'news:a', delta: 'vcdiff' } });
  assert.equal((await raw.closed).code, 3501);
});

test('only what was published with delta is one, where not all is', async (t) => {
  const server = await start(t);
  const { raw } = await rawSubscriber(t, server, { channel: 'rare:a', delta: 'fossil' });
  await publish(server, 'rare:a', 1);
  await publish(server, 'rare:a', 2);
  await publishRaw(server, 'rare:a', doc(3), ',"delta":true');
  await publish(server, 'rare:a', 4);
  assert.deepEqual((await gotPushes(raw, 4)).map((p) => p.delta), [undefined, undefined, true, undefined]);
});

test('results of history are never deltas', async (t) => {
  const server = await start(t);
  const { raw } = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil' });
  for (let n = 1; n <= 3; n++) await publish(server, 'news:a', n);
  await gotPushes(raw, 3);
  const { history } = await raw.call({ history: { channel: 'news:a', limit: -1 } });
  assert.deepEqual(history.publications.map((p) => [p.data.n ?? p.data, p.delta]), [[1, undefined], [2, undefined], [3, undefined]]);
});

/** Data of publications as the library makes them of texts and deltas. */
function applied(pubs) {
  const codec = new Centrifuge('ws://127.0.0.1:1')._codec;
  let before;
  return pubs.map((p) => {
    const { newData, newPrevValue } = codec.applyDeltaIfNeeded(p, before);
    before = newPrevValue;
    return newData;
  });
}

// Each of the others is a delta, or full where the loop answers by itself: which loop a client is on is chance.
test('recovered publications: the first is full, what follows in the list and live builds on it', async (t) => {
  const server = await start(t);
  const first = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil' });
  const { epoch } = first.reply.subscribe;
  for (let n = 1; n <= 4; n++) await publish(server, 'news:a', n);
  await gotPushes(first.raw, 4);
  const others = [];
  for (let i = 0; i < 6; i++)
    others.push(await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil', recover: true, epoch, offset: 1 }));
  for (let n = 5; n <= 6; n++) await publish(server, 'news:a', n);
  for (const { raw, reply } of others) {
    const { publications: recovered, ...subscribe } = reply.subscribe;
    assert.deepEqual([subscribe.recovered, subscribe.delta], [true, true]);
    assert.deepEqual(recovered.map((p) => p.offset), [2, 3, 4]);
    assert.equal(recovered[0].delta, undefined);
    const live = await gotPushes(raw, 2);
    assert.deepEqual(live.map((p) => p.delta), [true, true]);
    assert.deepEqual(applied([...recovered, ...live]).map((d) => d.n), [2, 3, 4, 5, 6]);
  }
});

test('after a recovery without publications the first push is full', async (t) => {
  const server = await start(t);
  const first = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil' });
  const { epoch } = first.reply.subscribe;
  for (let n = 1; n <= 4; n++) await publish(server, 'news:a', n);
  await gotPushes(first.raw, 4);
  const { raw, reply } = await rawSubscriber(t, server, { channel: 'news:a', delta: 'fossil', recover: true, epoch, offset: 4 });
  assert.equal(reply.subscribe.recovered, true);
  await publish(server, 'news:a', 5);
  await publish(server, 'news:a', 6);
  const pubs = await gotPushes(raw, 2);
  assert.deepEqual(pubs.map((p) => p.delta), [undefined, true]);
  assert.equal(pubs[0].data, doc(5));
});

for (const protobuf of [false, true]) {
  const kind = protobuf ? 'protobuf' : 'JSON';

  test(`${kind}: the library puts every document together again`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news:a', { delta: 'fossil' });
    const texts = ['日本', '日木', 'é'.repeat(30), 'è'.repeat(30), '😀'.repeat(20), `${'😀'.repeat(10)}😁${'😀'.repeat(9)}`, '"\\\n'];
    const sent = [];
    for (let round = 0; round < 5; round++)
      for (const text of texts) {
        sent.push(doc(sent.length, text + PAD));
        await publishRaw(server, 'news:a', sent.at(-1));
      }
    const got = await gotPublications(sub, sent.length);
    assert.deepEqual(got.map(textOf), sent);
    assert.deepEqual(got.map((p) => Number(p.offset)), sent.map((_, i) => i + 1));
    assert.equal(sub.deltaStats().numDeltaPayloads, sent.length - 1);
  });

  test(`${kind}: line ends inside of a payload belong to what deltas are made of`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news:a', { delta: 'fossil' });
    const plain = await subscribed(await channelsClient(t, server), 'news:a');
    for (let n = 0; n < 4; n++) await publishRaw(server, 'news:a', `{"n":${n},\r\n  "pad":\n"${PAD}"\n}`);
    assert.deepEqual((await gotPublications(sub, 4)).map((p) => JSON.parse(textOf(p)).n), [0, 1, 2, 3]);
    assert.deepEqual((await gotPublications(plain, 4)).map((p) => p.data), [0, 1, 2, 3].map((n) => ({ n, pad: PAD })));
  });

  test(`${kind}: deltas go on after the connection was cut`, async (t) => {
    const server = await start(t);
    const client = await channelsClient(t, server, { protobuf });
    const sub = await subscribed(client, 'news:a', { delta: 'fossil' });
    let n = 0;
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < 3; i++) await publish(server, 'news:a', n++);
      await gotPublications(sub, n);
      client._transport.close();
      if (round % 2) for (let i = 0; i < 4; i++) await publish(server, 'news:a', n++);
      await until(() => sub.seen.filter((e) => e.name === 'subscribed').length === round + 2, 'subscribed again');
    }
    await publish(server, 'news:a', n++);
    const got = await gotPublications(sub, n);
    assert.deepEqual(got.map((p) => JSON.parse(textOf(p)).n), Array.from({ length: n }, (_, i) => i));
    assert.ok(sub.seen.filter((e) => e.name === 'subscribed').slice(1).every((e) => e.recovered));
    assert.equal(sub.seen.filter((e) => e.name === 'error').length, 0);
  });
}

for (const { name, ...way } of TRANSPORTS)
  test(`${name}: deltas of texts with all kinds of characters, and after a cut`, async (t) => {
    const server = await start(t);
    const client = await streamClient(t, server, way);
    const sub = await subscribed(client, 'news:a', { delta: 'fossil' });
    const texts = ['日本', '日木', 'é'.repeat(30), '😀'.repeat(20), `${'😀'.repeat(10)}😁${'😀'.repeat(9)}`, '\u007f\u2028"\\\n'];
    const sent = [];
    const send = async (count) => {
      for (let i = 0; i < count; i++) {
        sent.push(doc(sent.length, texts[sent.length % texts.length] + PAD));
        await publishRaw(server, 'news:a', sent.at(-1));
      }
    };
    for (let round = 0; round < 3; round++) {
      await send(8);
      await gotPublications(sub, sent.length);
      client._transport.close();
      await send(4);
      await until(() => sub.seen.filter((e) => e.name === 'subscribed').length === round + 2, 'subscribed again');
    }
    await send(3);
    assert.deepEqual((await gotPublications(sub, sent.length)).map(textOf), sent);
    assert.ok(sub.seen.filter((e) => e.name === 'subscribed').slice(1).every((e) => e.recovered));
    assert.ok(sub.deltaStats().numDeltaPayloads > sent.length / 2);
  });

test('many subscribers of all kinds see the same', async (t) => {
  const server = await start(t);
  const subs = [];
  for (let i = 0; i < 12; i++) {
    const client = await channelsClient(t, server, { protobuf: i % 2 === 1 });
    subs.push(await subscribed(client, 'news:a', i % 3 ? { delta: 'fossil' } : {}));
    await publish(server, 'news:a', i);
  }
  for (let n = 12; n < 60; n++) await publish(server, 'news:a', n);
  for (const [i, sub] of subs.entries()) {
    const got = await gotPublications(sub, 60 - i);
    assert.deepEqual(got.map((p) => JSON.parse(textOf(p)).n), Array.from({ length: 60 - i }, (_, k) => i + k));
  }
});

test('a stream of a keyed channel has one chain, whatever the keys are', async (t) => {
  const server = await start(t);
  const client = await channelsClient(t, server);
  const sub = await subscribed(client, 'table:a', { delta: 'fossil' });
  const sent = [];
  for (let n = 0; n < 12; n++) {
    sent.push(doc(n, `${n % 3}`.repeat(60)));
    await publishRaw(server, 'table:a', sent.at(-1), `,"key":"k${n % 3}"`);
  }
  await gotPublications(sub, sent.length);
  assert.deepEqual(publications(sub).map(textOf), sent);
  await sleep(20);
  assert.equal(sub.state, 'subscribed');
});
