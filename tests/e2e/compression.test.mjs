// permessage-deflate, what goes out: each publication is compressed once for all who take it. What the bytes are is read from
// raw sockets, what they mean by independent clients.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import WebSocket from 'ws';
import { channelsClient, gotPublications, subscribed } from '../lib/channels.mjs';
import { slowness, until } from '../lib/crier.mjs';
import { OFFER, RSV1, TAKEN, counters, rawClient, rawSubscriber, startCompressing as start, text } from '../lib/deflate.mjs';
import { OPCODE } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

test('it is offered on the WebSocket endpoints without context, and a smaller window is declined', async (t) => {
  const server = await start(t);
  for (const path of ['/ws', '/connection/websocket', '/connection/uni_websocket']) {
    const answer = async (offer) => (await server.rawWebSocket(path, { 'Sec-WebSocket-Extensions': offer }))
      .head.headers['sec-websocket-extensions'];
    assert.equal(await answer('permessage-deflate'), TAKEN);
    assert.equal(await answer('permessage-deflate; client_max_window_bits'), TAKEN);
    assert.equal(await answer('permessage-deflate; server_max_window_bits=15'), `${TAKEN}; server_max_window_bits=15`);
    assert.equal(await answer('permessage-deflate; server_max_window_bits=10'), undefined);
    assert.equal(await answer('permessage-deflate; mystery'), undefined);
    assert.equal(await answer('permessage-deflate; server_max_window_bits=10, permessage-deflate'), TAKEN);
    assert.equal((await server.rawWebSocket(path)).head.headers['sec-websocket-extensions'], undefined);
  }
});

test('twenty clients on two loops cost one compression a publication, and their bytes are the same', async (t) => {
  const server = await start(t);
  const takers = await Promise.all(Array.from({ length: 20 }, () => rawSubscriber(server, 'news')));
  const plain = await rawSubscriber(server, 'news', {});
  const before = await counters(server);
  for (let i = 1; i <= 5; i++) await server.api('publish', { channel: 'news', data: text(i) });
  for (let i = 1; i <= 5; i++) {
    const expected = await plain.hear();
    assert.deepEqual([expected.rsv, expected.json.push.pub.offset, expected.json.push.pub.data], [0, i, text(i)]);
    const frames = await Promise.all(takers.map((ws) => ws.hear()));
    for (const f of frames) {
      assert.deepEqual([f.fin, f.opcode, f.rsv, f.masked], [true, OPCODE.text, RSV1, false]);
      assert.deepEqual(f.payload, frames[0].payload);
      assert.equal(f.message, expected.message);
      assert.ok(f.payload.length < expected.payload.length / 3, `${f.payload.length} of ${expected.payload.length}`);
    }
  }
  const after = await counters(server);
  const [count, bytesIn, bytesOut] = after.map((v, i) => v - before[i]);
  assert.equal(count, 5);
  assert.ok(bytesIn > 5 * 600 && bytesIn < 5 * 700 && bytesOut < bytesIn / 3 && bytesOut > 0, `${bytesIn} to ${bytesOut}`);
});

test('with plain clients alone nothing is compressed, and nothing when it is off', async (t) => {
  const server = await start(t);
  const plain = await rawSubscriber(server, 'news', {});
  await server.api('publish', { channel: 'news', data: text(1) });
  assert.equal((await plain.hear()).rsv, 0);
  assert.deepEqual(await counters(server), [0, 0, 0, 0, 0]);
  const off = await start(t, { server: { compression: false } });
  const client = await channelsClient(t, off);
  const sub = await subscribed(client, 'news');
  await sub.publish(text(1, 3000));
  await gotPublications(sub, 1);
  assert.equal(client._transport._transport.extensions, '');
  assert.deepEqual(await counters(off), [0, 0, 0, 0, 0]);
});

test('what is short or does not get shorter goes out as it is, in order with the rest', async (t) => {
  const server = await start(t, { server: { compression_min_bytes: 200 } });
  const ws = await rawSubscriber(server, 'news');
  const noise = randomBytes(3000).toString('latin1').replace(/[^!-~]|["\\]/g, (c) => String.fromCharCode(97 + c.charCodeAt(0) % 26));
  const data = ['short', text(1), noise, 'x', text(2)];
  for (const d of data) await server.api('publish', { channel: 'news', data: d });
  const frames = [];
  for (const d of data) {
    frames.push(await ws.hear());
    assert.equal(frames.at(-1).json.push.pub.data, d);
  }
  assert.deepEqual([0, 1, 3, 4].map((i) => frames[i].rsv), [0, RSV1, 0, RSV1]);
  const [count] = await counters(server);
  assert.equal(count, 3); // the noise was tried
});

test('answers over the minimum are compressed, too: history, recovery, and the connect', async (t) => {
  const server = await start(t);
  for (let i = 1; i <= 20; i++) await server.api('publish', { channel: 'news', data: text(i, 200) });
  const ws = await rawSubscriber(server, 'news');
  assert.equal(ws.reply.rsv, 0); // it is short
  ws.say({ id: 3, history: { channel: 'news', limit: -1 } });
  const history = await ws.hear();
  assert.equal(history.rsv, RSV1);
  assert.deepEqual(history.json.history.publications.map((p) => p.offset), Array.from({ length: 20 }, (_, i) => i + 1));
  const { epoch } = history.json.history;
  // Twice: from the hub's memory, then from the compressed frames of the loop's log.
  const late = await rawClient(server, { first: { id: 1, connect: {} } });
  await late.hear();
  late.say({ id: 2, subscribe: { channel: 'news', recover: true, offset: 5, epoch } });
  const first = await late.hear();
  assert.deepEqual([first.rsv, first.json.subscribe.publications.length], [RSV1, 15]);
  for (let i = 21; i <= 30; i++) await server.api('publish', { channel: 'news', data: text(i, 400) });
  for (let i = 21; i <= 30; i++) assert.equal((await late.hear()).json.push.pub.offset, i);
  const again = await rawClient(server, { first: { id: 1, connect: {} } });
  await again.hear();
  again.say({ id: 2, subscribe: { channel: 'news', recover: true, offset: 22, epoch } });
  const second = await again.hear();
  assert.equal(second.rsv, RSV1);
  assert.deepEqual(second.json.subscribe.publications.map((p) => p.data), Array.from({ length: 8 }, (_, i) => text(23 + i, 400)));
});

test('recovered publications that do not fit into the answer follow it compressed', async (t) => {
  const server = await start(t);
  const letters = Buffer.from(Array.from({ length: 1500 }, (_, i) => 97 + (i * i * 7) % 26)).toString();
  for (let i = 1; i <= 60; i++) await server.api('publish', { channel: 'news', data: `${i} ${letters}` });
  const { epoch } = await server.api('history', { channel: 'news' });
  const ws = await rawClient(server, { first: { id: 1, connect: {} } });
  await ws.hear();
  ws.say({ id: 2, subscribe: { channel: 'news', recover: true, offset: 0, epoch } });
  const seen = (await ws.hear()).json.subscribe.publications.map((p) => p.offset);
  assert.ok(seen.length < 60, `${seen.length} in the answer`);
  while (seen.length < 60) {
    const f = await ws.hear();
    assert.equal(f.rsv, RSV1);
    seen.push(f.json.push.pub.offset);
  }
  assert.deepEqual(seen, Array.from({ length: 60 }, (_, i) => i + 1));
});

for (const protobuf of [false, true]) {
  const kind = protobuf ? 'protobuf' : 'JSON';
  const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);

  /** Connections of the client library that take it and that do not, by turns. */
  const mixed = (t, server, count) => Promise.all(Array.from({ length: count }, (_, i) => channelsClient(t, server, {
    protobuf, websocket: i % 2 ? class extends WebSocket { constructor(url, p) { super(url, p, { perMessageDeflate: false }); } } : WebSocket,
  })));

  test(`${kind}: takers and others of a channel get the same in one order, over cuts`, async (t) => {
    const server = await start(t);
    const clients = await mixed(t, server, 6);
    assert.deepEqual(clients.map((c) => c._transport._transport.extensions !== ''), [true, false, true, false, true, false]);
    const subs = await Promise.all(clients.map((c) => subscribed(c, 'news')));
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 10; i++) {
        const data = { n: round * 10 + i, pad: text(i, i % 3 ? 2000 : 10) };
        if (round === 0) await subs[i % 6].publish(encode(data));
        else await server.api('publish', { channel: 'news', data });
      }
      for (const sub of subs) {
        const got = await gotPublications(sub, (round + 1) * 10);
        assert.deepEqual(got.map((p) => decode(p.data).n), Array.from({ length: (round + 1) * 10 }, (_, i) => i));
        assert.deepEqual(got.map((p) => decode(p.data).pad.length), got.map((p, i) => (i % 10 % 3 ? 2000 : 10)));
      }
      clients.forEach((c) => c._transport.close());
    }
    const cuts = subs[0].seen.filter((e) => e.name === 'subscribed').slice(1);
    assert.ok(cuts.length >= 3 && cuts.every((e) => e.recovered));
    const [, , , wire, plain] = await counters(server);
    assert.ok(wire > 0 && plain > wire * 3, `${wire} to ${plain}`);
  });

  test(`${kind}: deltas within compressed frames`, async (t) => {
    const server = await start(t, { server: { compression_min_bytes: 0 } });
    const clients = await mixed(t, server, 4);
    const subs = await Promise.all(clients.map((c) => subscribed(c, 'delta:a', { delta: 'fossil' })));
    const noise = randomBytes(1200).toString('base64');
    for (let i = 0; i < 10; i++) {
      await server.api('publish', { channel: 'delta:a', data: { n: i, pad: noise } });
      if (i === 5) clients.forEach((c) => c._transport.close());
    }
    for (const sub of subs) {
      const got = await gotPublications(sub, 10);
      assert.deepEqual(got.map((p) => decode(p.data)), Array.from({ length: 10 }, (_, n) => ({ n, pad: noise })));
    }
    assert.ok(await server.metrics().then((m) => m.value('crier_bytes_out_total')) < 4 * 10 * 1600 / 2, 'they are deltas');
  });

  test(`${kind}: maps`, async (t) => {
    const server = await start(t);
    for (let i = 0; i < 30; i++) await server.api('map_publish', { channel: 'table:m', key: `k${i}`, data: { v: text(i, 100) } });
    const clients = await mixed(t, server, 2);
    for (const client of clients) {
      const rows = new Map();
      const sub = client.newMapSubscription('table:m');
      sub.on('sync', (ctx) => ctx.entries.forEach((e) => rows.set(e.key, decode(e.data))));
      sub.on('update', (ctx) => rows.set(ctx.key, decode(ctx.data)));
      sub.subscribe();
      await sub.ready(5000 * slowness);
      await server.api('map_publish', { channel: 'table:m', key: 'k0', data: { v: text(99, 1000) } });
      await until(() => rows.get('k0')?.v === text(99, 1000), 'the update');
      assert.equal(rows.size, 30);
      assert.equal(rows.get('k29').v, text(29, 100));
    }
  });
}

for (const form of ['binary', 'string', 'object'])
  test(`the typed wire, ${form}: publications, recovery and answers`, async (t) => {
    const server = await start(t);
    const client = await server.typed({ form, perMessageDeflate: true });
    const plain = await server.typed({ form });
    assert.equal(client.ws.extensions, 'permessage-deflate');
    const { epoch } = await client.subscribe('news');
    await plain.subscribe('news');
    const before = await counters(server);
    for (let i = 1; i <= 10; i++) await client.publish('news', { n: i, pad: text(i, 2000) });
    for (const c of [client, plain]) {
      for (let i = 1; i <= 10; i++) {
        const message = await c.next((m) => m.type === 1);
        assert.deepEqual(message.payload, { n: i, pad: text(i, 2000) });
      }
    }
    const after = await counters(server);
    assert.equal(after[0] - before[0], 10);
    assert.ok(after[4] - before[4] > 20000, 'the publishes came compressed'); // `ws` does so from 1 KiB on
    const late = await server.typed({ form, perMessageDeflate: true });
    assert.equal((await late.subscribe('news', { epoch, offset: 4 })).recovered, true);
    for (let i = 5; i <= 10; i++) assert.equal((await late.next((m) => m.type === 1)).payload.n, i);
  });

test('a long past goes out compressed for 256 KiB, then as it is, whole and in order', async (t) => {
  const server = await start(t);
  for (let i = 1; i <= 100; i++) await server.api('publish', { channel: 'news', data: text(i, 4000) });
  const ws = await rawClient(server, { path: '/ws', first: { type: TYPE.subscribe, payload: { channel: 'news', history: 100 } } });
  assert.equal((await ws.hear()).json.payload.publications, 100);
  const frames = [];
  while (frames.length < 100) frames.push(await ws.hear());
  assert.deepEqual(frames.map((f) => f.json.payload), Array.from({ length: 100 }, (_, i) => text(i + 1, 4000)));
  const compressed = frames.filter((f) => f.rsv === RSV1).length;
  assert.ok(compressed > 60 && compressed < 70, `${compressed}`);
  assert.deepEqual(frames.map((f) => f.rsv === RSV1), frames.map((f, i) => i < compressed));
});

test('the form that the first message decides is a compressed one, too', async (t) => {
  const server = await start(t);
  for (const [form, opcode] of [['string', OPCODE.text], ['binary', OPCODE.binary]]) {
    const ws = await rawClient(server, { path: '/ws' });
    const payload = { channel: 'news' };
    if (form === 'string') ws.say({ type: TYPE.subscribe, payload: JSON.stringify(payload) });
    else ws.sendFrame({ opcode, payload: Buffer.concat([Buffer.from(new Uint32Array([TYPE.subscribe]).buffer), Buffer.from(JSON.stringify(payload))]) });
    assert.equal((await ws.hear()).rsv, 0);
    await server.api('publish', { channel: 'news', data: text(1) });
    const f = await ws.hear();
    assert.deepEqual([f.opcode, f.rsv], [opcode, RSV1]);
    assert.match(f.message, /lorem ipsum/);
  }
});

test('a session that was taken for a binary one and then speaks text goes on compressed', async (t) => {
  const server = await start(t);
  const ws = await rawClient(server, { path: `/ws?token=${server.token({ sub: 'ann' })}` });
  await server.api('subscribe', { user: 'ann', channel: 'news' });
  const binary = await ws.hear(); // that it is subscribed: it was silent for long enough
  assert.equal(binary.opcode, OPCODE.binary);
  await server.api('publish', { channel: 'news', data: text(1) });
  const first = await ws.hear();
  assert.deepEqual([first.opcode, first.rsv], [OPCODE.binary, RSV1]);
  ws.say({ type: TYPE.ping, payload: {} });
  assert.equal((await ws.hear()).json.type, TYPE.ok);
  await server.api('publish', { channel: 'news', data: text(2) });
  const second = await ws.hear();
  assert.deepEqual([second.opcode, second.rsv, second.json.payload, second.json.offset], [OPCODE.text, RSV1, text(2), 2]);
});

test('unidirectional: what is pushed is compressed', async (t) => {
  const server = await start(t);
  const ws = await rawClient(server, { path: '/connection/uni_websocket', first: { subs: { news: {} } } });
  assert.ok((await ws.hear()).json.connect.client);
  await server.api('publish', { channel: 'news', data: text(1) });
  const f = await ws.hear();
  assert.deepEqual([f.rsv, f.json.pub.data], [RSV1, text(1)]);
});

test('a slow reader with compressed frames gets its gap and goes on', async (t) => {
  const server = await start(t, { limits: { frame_log_bytes: '64KiB' }, server: { send_buffer_bytes: 4096 } });
  const client = await server.typed({ perMessageDeflate: true });
  await client.subscribe('narrow:a');
  client.pause();
  const noise = randomBytes(45000).toString('base64');
  for (let i = 1; i <= 300; i++) await server.api('publish', { channel: 'narrow:a', data: `${i} ${noise.slice(i, i + 20000)}` });
  client.resume();
  const offsets = [];
  while (offsets.at(-1) !== 300) {
    const m = await client.next((x) => x.channel === 'narrow:a' || x.type === TYPE.gap, 'the last one', 20000);
    if (m.type === TYPE.gap) {
      assert.equal(m.payload.first, (offsets.at(-1) ?? 0) + 1);
      offsets.push(m.payload.last);
    } else {
      assert.equal(m.offset, (offsets.at(-1) ?? 0) + 1);
      offsets.push(m.offset);
    }
  }
  assert.ok(offsets.length < 300, 'there was a gap');
});
