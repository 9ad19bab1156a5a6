// The typed wire at /ws: both forms, ids, answers, and errors that leave the session alive.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier } from '../lib/crier.mjs';
import { OPCODE } from '../lib/raw.mjs';
import { TYPE, encodeTyped } from '../lib/typed.mjs';

test('a session is answered in the form it used first', async (t) => {
  const server = await startCrier({ t });
  for (const form of ['binary', 'string', 'object']) {
    const client = await server.typed({ form });
    const answer = await client.request(TYPE.ping, {});
    assert.equal(answer.form, form);
    assert.deepEqual(answer.payload, { ok: {} });
  }
});

test('the form of the first message stays, whatever comes later', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed({ form: 'string' });
  await client.request(TYPE.ping, {});
  client.ws.send(encodeTyped('object', TYPE.ping, {}, 'a'));
  client.ws.send(encodeTyped('binary', TYPE.ping, {}));
  assert.equal((await client.next((m) => m.id === 'a')).form, 'string');
  assert.equal((await client.next()).form, 'string');
});

test('publications reach sessions of every form with the same payload', async (t) => {
  const server = await startCrier({ t });
  const clients = [];
  for (const form of ['binary', 'string', 'object']) {
    clients.push(await server.typed({ form }));
    await clients.at(-1).subscribe('news');
  }
  const data = { text: 'äöü "quoted" \\ \u0001 😀', list: [1, 2.5, null, true] };
  const { offset } = await clients[2].publish('news', data);
  for (const client of clients) {
    const message = await client.next((m) => m.type === 1);
    assert.deepEqual(message.payload, data, client.form);
    if (client.form !== 'binary') assert.deepEqual([message.channel, message.offset], ['news', offset]);
  }
});

test('payload bytes are passed on as they were written', async (t) => {
  const server = await startCrier({ t });
  const reader = await server.typed({ form: 'binary' });
  await reader.subscribe('news');
  const writer = await server.typed({ form: 'binary' });
  const raw = '{ "b" : 1.0 ,  "a":1e2, "big":12345678901234567890, "s":"\\u00e9\\/" }';
  for (const text of [raw.replace('12345678901234567890', '1234567890123456789')]) {
    writer.ws.send(encodeTyped('binary', TYPE.publish, `{"channel":"news","data":${text}}`));
    const message = await reader.next((m) => m.type === 1);
    assert.equal(message.raw.subarray(4).toString(), text);
  }
});

test('ids come back as they were written: text or number', async (t) => {
  const server = await startCrier({ t });
  const ws = await server.rawWebSocket();
  for (const id of ['"7"', '12', '"ä\\u0041"', '-3', '"' + 'x'.repeat(100) + '"']) {
    ws.sendText(`{"type":${TYPE.ping},"id":${id},"payload":{}}`);
    assert.match((await ws.readFrame()).payload.toString(), new RegExp(`"id":${id.replace(/[\\.*+?]/g, '\\$&')}[,}]`));
  }
  ws.sendText(`{"type":${TYPE.ping},"payload":{}}`);
  assert.doesNotMatch((await ws.readFrame()).payload.toString(), /"id"/);
});

test('an unknown type is an error with the id, the session stays', async (t) => {
  const server = await startCrier({ t });
  for (const form of ['string', 'object', 'binary']) {
    const client = await server.typed({ form });
    const answer = await client.request(4711, { a: 1 });
    assert.equal(answer.type, TYPE.error);
    assert.equal(answer.payload.error.code, 104);
    assert.equal(answer.payload.error.temporary, false);
    assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
  }
});

test('reserved types that the server does not take are an error', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed();
  for (const type of [0xffffff00, TYPE.ok, TYPE.error, TYPE.subscribed, TYPE.unsubscribed, TYPE.gap, TYPE.join, TYPE.leave]) {
    const answer = await client.request(type, {});
    assert.equal(answer.type, TYPE.error, `type ${type}`);
  }
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
});

test('messages that cannot be decoded are an error each, the session stays', async (t) => {
  const server = await startCrier({ t });
  const ws = await server.rawWebSocket();
  const good = `{"type":${TYPE.ping},"payload":1}`;
  const bad = ['', ' ', 'hello', '[1]', '{', '{}', '{"type":"1"}', '{"type":-1}', '{"type":1.5}', '{"type":4294967296}', '{"type":1}x',
    `${good.slice(0, -1)},"type":2}`, `${good.slice(0, -2)}1e999}`, `${good.slice(0, -2)}12345678901234567890}`, `${good.slice(0, -2)}"\\ud800"}`,
    `${good.slice(0, -2)}{"a":"\\u0000"}}`, `${good.slice(0, -1)},"id":{}}`, `${good.slice(0, -1)},'a':1}`, `\ufeff${good}`,
    `${good.slice(0, -2)}"line\n"}`, `${good.slice(0, -1)},}`, `[${good}]`];
  for (const text of bad) {
    ws.sendText(text);
    const answer = JSON.parse((await ws.readFrame()).payload);
    assert.equal(answer.type, TYPE.error, text);
    assert.ok(answer.error.message.length > 0, text);
  }
  for (const bytes of [[], [1], [1, 0, 0]]) {
    ws.sendFrame({ opcode: OPCODE.binary, payload: Buffer.from(bytes) });
    assert.equal(JSON.parse((await ws.readFrame()).payload).type, TYPE.error, `${bytes.length} bytes`);
  }
  ws.sendText(`{"type":${TYPE.ping},"payload":{}}`);
  assert.equal(JSON.parse((await ws.readFrame()).payload).type, TYPE.ok);
});

test('control messages with the wrong members are an error', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed();
  for (const payload of [{}, { channel: 1 }, { channel: null }, { channel: 'a', epoch: 1 }, { channel: 'a', epoch: 'x', offset: 'y' },
    { channel: 'a', history: -1 }, { channel: 'a', epoch: 'x'.repeat(1000), offset: 1 }, [], 'text', 1]) {
    const answer = await client.request(TYPE.subscribe, payload);
    assert.equal(answer.type, TYPE.error, JSON.stringify(payload));
  }
  for (const payload of [{}, { channel: 'a' }, { data: 1 }, { channel: 'a', data: 1, key: 5 }])
    assert.equal((await client.request(TYPE.publish, payload)).type, TYPE.error, JSON.stringify(payload));
  assert.equal((await client.request(TYPE.ping, {})).type, TYPE.ok);
});

test('rights: a namespace that clients may not publish to or subscribe to says so', async (t) => {
  const server = await startCrier({ t, config: { namespace: [{ name: 'out' }, { name: 'in', subscribe: false, publish: true },
    { name: 'members', anonymous: false, publish: true }] } });
  const client = await server.typed();
  await client.subscribe('out:a');
  await assert.rejects(client.publish('out:a', 1), { code: 103 });
  await client.expectSilence(100);
  await client.publish('in:a', 1);
  await assert.rejects(client.subscribe('in:a'), { code: 103 });
  await assert.rejects(client.subscribe('members:a'), { code: 103 });
  await assert.rejects(client.publish('members:a', 1), { code: 103 });
  await assert.rejects(client.subscribe('other:a'), { code: 102 });
  await assert.rejects(client.subscribe('a'), { code: 102 });
});

test('a publish without id is done but not acknowledged', async (t) => {
  const server = await startCrier({ t });
  const client = await server.typed();
  await client.subscribe('news');
  client.send(TYPE.publish, { channel: 'news', data: 1 });
  assert.equal((await client.publications('news', 1))[0].payload, 1);
  await client.expectSilence(100);
});

test('a message id makes a retry idempotent', async (t) => {
  const server = await startCrier({ t });
  const reader = await server.typed();
  await reader.subscribe('news');
  const positions = [];
  for (let i = 0; i < 3; i++) {
    const client = await server.typed({ path: '/ws?client=browser-1' });
    client.send(TYPE.publish, { channel: 'news', data: { n: 1 } }, 'same');
    positions.push((await client.next((m) => m.id === 'same')).payload.ok);
    await client.end();
  }
  assert.deepEqual(positions[1], positions[0]);
  assert.deepEqual(positions[2], positions[0]);
  await reader.publications('news', 1);
  await reader.expectSilence(150);
});

test('a session that only listens chooses its form by ?format', async (t) => {
  const server = await startCrier({ t });
  await assert.rejects(server.typed({ path: '/ws?format=yaml' }), { status: 400 });
  await assert.rejects(server.typed({ path: '/ws?codec=xml' }), { status: 400 });
  const client = await server.typed({ path: '/ws?format=binary', form: 'object' });
  client.send(TYPE.ping, {});
  assert.equal((await client.next()).form, 'binary');
});

test('a client whose word for the payload is body is answered in it, as older Go clients need', async (t) => {
  const server = await startCrier({ t });
  const older = await server.typed({ form: 'string' });
  const body = (type, payload, id) => older.ws.send(JSON.stringify({ type, id, body: JSON.stringify(payload) }));
  body(TYPE.subscribe, { channel: 'news' }, '1');
  const answer = JSON.parse((await older.next((m) => m.id === '1')).raw);
  assert.deepEqual([answer.payload, JSON.parse(answer.body).channel], [undefined, 'news']);
  const listener = await server.typed({ path: '/ws?format=body' });
  listener.ws.send(JSON.stringify({ type: TYPE.subscribe, payload: { channel: 'news' } })); // taken all the same
  await listener.next((m) => m.type === TYPE.subscribed);
  body(TYPE.publish, { channel: 'news', data: { a: 'b' } });
  for (const client of [older, listener]) {
    const { channel, body: text, payload } = JSON.parse((await client.next((m) => m.type === 1)).raw);
    assert.deepEqual([channel, text, payload], ['news', '{"a":"b"}', undefined]);
  }
  older.ws.send('{"type":4294967284,"id":"p","body":"not this","payload":"{}"}');
  assert.deepEqual(JSON.parse(JSON.parse((await older.next((m) => m.id === 'p')).raw).body), { ok: {} });
});
