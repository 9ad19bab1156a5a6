// The chatroom module from outside: who is the sender, where a message goes, what is refused, what is recognised.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { SECRET, runCrier, startCrier } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const CHAT = 1;

function chatConfig(module = {}) {
  return {
    bridge: [{ name: 'embedded', driver: 'embedded', servers: 'data/crier.db' }],
    namespace: [{ name: 'chat', history: 100, type: CHAT, presence: true, join_leave: true }],
    source: [{ bridge: 'embedded', topic: 'chat', from: 'history', channel: 'chat:{key}' }],
    sink: [{ channel: 'chat:*', bridge: 'embedded', topic: 'chat', key: '{channel.1}' }],
    module: [{ name: 'chatroom', ...module }],
  };
}

const startChat = (t, module) => startCrier({ t, config: chatConfig(module) });

/** A session in the default room that has everything said so far. */
async function join(server, query = '', options = {}) {
  const client = await server.typed({ path: `/ws?format=${options.format ?? 'object'}${query}`, ...options });
  await client.nextType(TYPE.subscribed);
  return client;
}

const isChat = (m) => m.type === CHAT && m.channel !== undefined;
const heard = (client) => client.next(isChat, 'a chat message');

function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

test('a message goes to the default room with sender and time', async (t) => {
  const server = await startChat(t);
  const ada = await join(server);
  const grace = await join(server);
  const before = Date.now();
  const answer = await ada.request(CHAT, { message: ' hi\n', sender: ' Ada ', timestamp: 'forged', colour: 'red', id: 'forged' });
  assert.equal(answer.type, TYPE.ok);
  const message = await heard(grace);
  assert.equal(message.channel, 'chat:lobby');
  assert.equal(message.offset, answer.payload.ok.offset);
  const { timestamp, ...rest } = message.payload;
  assert.deepEqual(rest, { message: 'hi', sender: 'Ada', room: 'lobby' });
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(timestamp) - before) < 5000);
});

test('older clients: type 0, binary, nothing but message, sender and timestamp', async (t) => {
  const server = await startChat(t);
  const old = await server.typed({ path: '/ws?format=binary', form: 'binary' });
  await old.nextType(TYPE.subscribed);
  old.send(0, { message: 'from an old page', sender: '', timestamp: '' });
  const echo = await old.nextType(CHAT);
  assert.equal(echo.form, 'binary');
  assert.equal(echo.payload.message, 'from an old page');
  assert.match(echo.payload.sender, /^guest-[0-9a-f]{4}$/);
});

test('payloads as strings are answered as strings', async (t) => {
  const server = await startChat(t);
  const client = await join(server, '', { format: 'text', form: 'string' });
  const answer = await client.request(CHAT, { message: 'as a string' });
  assert.equal(answer.form, 'string');
  assert.equal((await heard(client)).form, 'string');
});

test('the sender is the user, else the message, else the query, else a guest', async (t) => {
  const server = await startChat(t);
  const listener = await join(server);
  const cases = [
    ['&name=Query', {}, { sender: 'Forged' }, 'alice'],
    ['&name=Query', null, { sender: 'Message' }, 'Message'],
    ['&name=Qu%C3%A9ry', null, { sender: '  ' }, 'Quéry'],
    ['&name=bad%0Aname', null, {}, /^guest-[0-9a-f]{4}$/],
    ['', null, {}, /^guest-[0-9a-f]{4}$/],
  ];
  for (const [query, user, fields, expected] of cases) {
    const headers = user ? { authorization: `Bearer ${token({ sub: 'alice' })}` } : {};
    const client = await join(server, query, { headers });
    await client.request(CHAT, { message: 'x', ...fields });
    const { sender } = (await heard(listener)).payload;
    if (expected instanceof RegExp) assert.match(sender, expected, query);
    else assert.equal(sender, expected, query);
  }
});

test('a guest keeps the name for the session and shows it in presence', async (t) => {
  const server = await startChat(t);
  const guest = await join(server);
  for (const message of ['a', 'b']) await guest.request(CHAT, { message });
  const names = [(await heard(guest)).payload.sender, (await heard(guest)).payload.sender];
  assert.equal(names[0], names[1]);
  const { presence } = (await guest.request(TYPE.presence, { channel: 'chat:lobby' })).payload;
  assert.deepEqual(presence.map((m) => [m.user, m.name]), [['', names[0]]]);
});

test('rooms are channels: join by query, by subscribing, or not at all', async (t) => {
  const server = await startChat(t);
  const red = await join(server, '&join=red');
  const lobby = await join(server);
  const nowhere = await server.typed({ path: '/ws?format=object&join=none' });
  await nowhere.request(CHAT, { message: 'to red', room: 'red' });
  assert.equal((await heard(red)).payload.room, 'red');
  const { publications } = await nowhere.subscribe('chat:red', { history: 5 });
  assert.equal(publications, 1);
  assert.equal((await heard(nowhere)).payload.message, 'to red');
  await lobby.expectSilence(100, isChat);
});

test('joining hands over the last messages, as many as configured', async (t) => {
  const server = await startChat(t, { history: 3, default_room: 'hall', rate_per_10s: 100 });
  const first = await join(server);
  for (let i = 0; i < 5; i++) await first.request(CHAT, { message: `m${i}` });
  const late = await server.typed({ path: '/ws?format=object' });
  assert.equal((await late.nextType(TYPE.subscribed)).payload.channel, 'chat:hall');
  const said = [await heard(late), await heard(late), await heard(late)].map((m) => m.payload.message);
  assert.deepEqual(said, ['m2', 'm3', 'm4']);
});

test('what is not a chat message is refused with a reason, and the session goes on', async (t) => {
  const server = await startChat(t, { message_chars: 5, name_chars: 3, rate_per_10s: 100 });
  const client = await join(server);
  const refusals = [
    [{}, 125, /message is missing/],
    [[1], 125, /no JSON object/],
    [{ message: 7 }, 125, /message is missing or no string/],
    [{ message: '' }, 107, /empty/],
    [{ message: 'a\u0007' }, 107, /control characters/],
    [{ message: 'sixsix' }, 123, /6 characters, allowed are 5/],
    [{ message: 'a', sender: 'four' }, 107, /4 characters, allowed are 3/],
    [{ message: 'a', sender: 'a\tb' }, 107, /control characters/],
    [{ message: 'a', room: '../x' }, 107, /room/],
    [{ message: 'a', room: 'chat:lobby' }, 107, /room/],
    [{ message: 'a', room: '*' }, 107, /room/],
    [{ message: 'a', room: 'r'.repeat(65) }, 107, /room/],
  ];
  for (const [payload, code, reason] of refusals) {
    const { payload: { error } } = await client.request(CHAT, payload);
    assert.equal(error?.code, code, JSON.stringify(payload));
    assert.match(error.message, reason);
    assert.equal(error.temporary, false);
  }
  const fine = await client.request(CHAT, { message: '😀😀😀😀😀', sender: 'äöü' });
  assert.equal(fine.type, TYPE.ok, 'limits count characters');
});

test('the rate is limited per session, with credit coming back', async (t) => {
  const server = await startChat(t, { rate_per_10s: 20 });
  const hasty = await join(server);
  const calm = await join(server);
  const answers = [];
  for (let i = 0; i < 25; i++) answers.push(hasty.request(CHAT, { message: `${i}` }));
  const refused = (await Promise.all(answers)).filter((m) => m.type === TYPE.error);
  assert.ok(refused.length >= 4 && refused.length <= 5, `${refused.length} refused`);
  assert.equal(refused[0].payload.error.code, 111);
  assert.equal(refused[0].payload.error.temporary, true);
  assert.equal((await calm.request(CHAT, { message: 'calm' })).type, TYPE.ok, 'others are not held up');
  await new Promise((done) => setTimeout(done, 600));
  assert.equal((await hasty.request(CHAT, { message: 'again' })).type, TYPE.ok);
});

test('a message that is sent again after a reconnect is recognised', async (t) => {
  const server = await startChat(t);
  const listener = await join(server);
  const send = async (query, id) => {
    const client = await server.typed({ path: `/ws?format=object&join=none${query}` });
    client.send(CHAT, { message: 'once' }, id);
    const { payload } = await client.next((m) => m.id === id);
    client.terminate();
    return payload.ok.offset;
  };
  const first = await send('&client=tab-1', 'm1');
  assert.equal((await heard(listener)).payload.id, 'm1', 'a client that names itself finds its id in the log');
  assert.equal(await send('&client=tab-1', 'm1'), first);
  assert.notEqual(await send('&client=tab-2', 'm1'), first, 'ids belong to a client');
  assert.notEqual(await send('', 'm1'), first, 'and without a client to a session');
  assert.deepEqual([await heard(listener), await heard(listener)].map((m) => m.payload.id), ['m1', undefined]);
  await listener.expectSilence(100, isChat);
});

/** ChatMessage with fields {number: text}, all of them strings. */
const protobuf = (fields) => Buffer.concat(Object.entries(fields).map(([number, text]) =>
  Buffer.concat([Buffer.from([(number << 3) | 2, Buffer.byteLength(text)]), Buffer.from(text)])));

function readProtobuf(data) {
  const fields = {};
  for (let at = 0; at < data.length;) {
    const length = data[at + 1];
    fields[data[at] >> 3] = data.toString('utf8', at + 2, at + 2 + length);
    at += 2 + length;
  }
  return fields;
}

test('protobuf and JSON meet in one room', async (t) => {
  const server = await startChat(t);
  const json = await join(server);
  const proto = await server.typed({ path: '/ws?codec=protobuf', form: 'binary' });
  await proto.nextType(TYPE.subscribed);
  proto.send(CHAT, protobuf({ 1: 'grüß dich', 2: 'Ada' }));
  const { payload } = await heard(json);
  assert.deepEqual([payload.message, payload.sender, payload.room], ['grüß dich', 'Ada', 'lobby']);
  await json.request(CHAT, { message: 'hi', sender: 'Grace' });
  const read = async () => readProtobuf((await proto.nextType(CHAT)).raw.subarray(4));
  const { 3: time, ...own } = await read();
  assert.match(time, /Z$/);
  assert.deepEqual(own, { 1: 'grüß dich', 2: 'Ada', 4: 'lobby' });
  assert.equal((await read())[1], 'hi');
  proto.ws.send(Buffer.concat([Buffer.from([1, 0, 0, 0]), Buffer.from('{"message":"json"}')]));
  assert.equal((await proto.nextType(TYPE.error)).payload.error.code, 125);
});

test('options that cannot be are named at the start', async (t) => {
  for (const [module, reason] of [
    [{ message_chars: 0 }, /message_chars: "0" is not allowed, allowed: 1 to 1000000/],
    [{ rate_per_10s: 'many' }, /rate_per_10s: "many" is not allowed/],
    [{ default_room: 'a b' }, /default_room: "a b" is not allowed/],
  ]) {
    const server = await startCrier({ t, config: chatConfig(module), start: false });
    server.writeConfig();
    const { code, stderr } = await runCrier(['run', '-c', server.configPath, '-s', 'server.listen=127.0.0.1:0'], { cwd: server.dir });
    assert.equal(code, 78, stderr);
    assert.match(stderr, reason);
    assert.match(stderr, /config\.toml:\d+/);
  }
});
