// The client library of web/lib in Node: against the real server, and against a scripted socket where the server would
// have to be slow, strange or dying to say such things.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { Backoff, CrierClient, TYPE } from '../../web/lib/crier.mjs';
import { Outbox } from '../../web/lib/outbox.mjs';
import { sleep, until } from '../lib/crier.mjs';
import { dropLog, startChat } from './chat_page.mjs';

const instantly = () => new Backoff({ random: () => 0 });

function connect(t, server, query = 'join=none', options = {}) {
  const client = new CrierClient(`${server.wsUrl}/ws?${query}`, { WebSocket, backoff: instantly(), ...options });
  t.after(() => client.close());
  client.connect();
  return client;
}

/** Texts that a subscription gets, in order. */
function collect(subscription) {
  const texts = [];
  subscription.addEventListener('publication', (event) => texts.push(event.detail.payload.message));
  return texts;
}

const opened = (client) => until(() => client.isOpen, 'open');

test('a request resolves with the position in the log', async (t) => {
  const client = connect(t, await startChat(t));
  await opened(client);
  const first = await client.request(1, { message: 'one' });
  const second = await client.request(1, { message: 'two' });
  assert.equal(typeof first.offset, 'number');
  assert.ok(second.offset > first.offset);
  assert.equal(first.epoch, second.epoch);
});

test('a refusal rejects with code and reason', async (t) => {
  const client = connect(t, await startChat(t));
  await opened(client);
  await assert.rejects(client.request(1, { message: '' }), { name: 'CrierError', code: 107, message: 'the message is empty', temporary: false });
  await assert.rejects(client.request(77, {}), { code: 104, temporary: false });
});

test('resumes after SIGKILL of the server: nothing missing, nothing twice, in order', async (t) => {
  const server = await startChat(t, { rate_per_10s: 10000 });
  const reader = connect(t, server);
  const writer = connect(t, server);
  const texts = collect(reader.subscribe('chat:lobby', { history: 1000 }));
  const said = [];
  for (let round = 0; round < 3; round++) {
    await opened(writer);
    for (let i = 0; i < 30; i++) {
      said.push(`${round}.${i}`);
      await writer.request(1, { message: said.at(-1) });
    }
    await server.kill();
    await server.start();
  }
  await until(() => texts.length >= said.length, 'all messages');
  assert.deepEqual(texts, said);
});

test('a subscription made later starts with the history asked for', async (t) => {
  const server = await startChat(t);
  const client = connect(t, server);
  await opened(client);
  for (const message of ['a', 'b', 'c']) await client.request(1, { message });
  const lobby = client.subscribe('chat:lobby', { history: 2 });
  const texts = collect(lobby);
  await until(() => lobby.caughtUp, 'history');
  assert.deepEqual(texts, ['b', 'c']);
  await client.request(1, { message: 'd' });
  await until(() => texts.length === 3, 'live');
  assert.deepEqual(texts, ['b', 'c', 'd']);
  assert.equal((await client.presence('chat:lobby')).length, 1);
});

test('a position of another log is lost, and said so', async (t) => {
  const server = await startChat(t);
  const client = connect(t, server);
  const lobby = client.subscribe('chat:lobby', { history: 5 });
  const events = [];
  for (const type of ['lost', 'subscribed', 'caughtup']) lobby.addEventListener(type, (e) => events.push([type, e.detail.fresh]));
  await opened(client);
  await client.request(1, { message: 'old' });
  await until(() => lobby.position?.offset >= 0, 'a position');
  await server.kill();
  dropLog(server);
  await server.start();
  await until(() => events.length >= 5, 'subscribed again');
  assert.deepEqual(events.map(([type]) => type), ['subscribed', 'caughtup', 'lost', 'subscribed', 'caughtup']);
  assert.equal(events[3][1], true);
});

test('a channel that does not exist fails without trying again', async (t) => {
  const client = connect(t, await startChat(t));
  const nowhere = client.subscribe('nowhere:x');
  const states = [];
  nowhere.addEventListener('state', (event) => states.push([event.detail.state, event.detail.error?.code]));
  await until(() => nowhere.state === 'failed', 'failed');
  await sleep(100);
  assert.deepEqual(states, [['subscribing', undefined], ['failed', 102]]);
});

/* ---- against a scripted socket ---- */

class FakeSocket extends EventTarget {
  static all = [];
  sent = [];

  constructor(url) {
    super();
    this.url = url;
    FakeSocket.all.push(this);
  }

  static get last() {
    return FakeSocket.all.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  opens() {
    this.dispatchEvent(new Event('open'));
  }

  says(message) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(message) }));
  }

  dies(code = 1006, reason = '') {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
}

function scripted(t, options) {
  FakeSocket.all = [];
  const client = new CrierClient('ws://test/ws', { WebSocket: FakeSocket, backoff: instantly(), ...options });
  t.after(() => client.close());
  client.connect();
  FakeSocket.last.opens();
  return client;
}

const subscribed = (id, payload) => ({ type: TYPE.SUBSCRIBED, id, payload: { channel: 'c', epoch: 'e', publications: 0, ...payload } });

test('code 2500 subscribes again with the last position', async (t) => {
  const client = scripted(t);
  const channel = client.subscribe('c', { history: 3, backoff: instantly() });
  const socket = FakeSocket.last;
  socket.says(subscribed(socket.sent[0].id, { offset: 4 }));
  socket.says({ type: 9, channel: 'c', offset: 7, payload: {} });
  socket.says({ type: TYPE.UNSUBSCRIBED, payload: { channel: 'c', code: 2500, reason: 'too far behind' } });
  await until(() => socket.sent.length === 2, 'a second subscribe');
  assert.deepEqual(socket.sent[1].payload, { channel: 'c', epoch: 'e', offset: 7, history: 3 });
  socket.says(subscribed(socket.sent[1].id, { offset: 9, recovered: true, publications: 1 }));
  const seen = [];
  channel.addEventListener('publication', (event) => seen.push(event.detail.offset));
  socket.says({ type: 9, channel: 'c', offset: 7, payload: {} }); // had that one
  socket.says({ type: 9, channel: 'c', offset: 9, payload: {} });
  assert.deepEqual(seen, [9]);
});

test('another code ends the subscription', (t) => {
  const client = scripted(t);
  const channel = client.subscribe('c');
  const socket = FakeSocket.last;
  socket.says(subscribed(socket.sent[0].id, { offset: 4 }));
  socket.says({ type: TYPE.UNSUBSCRIBED, payload: { channel: 'c', code: 103, reason: 'no' } });
  assert.equal(channel.state, 'failed');
});

test('a gap moves the position on and is told', (t) => {
  const client = scripted(t);
  const channel = client.subscribe('c');
  const gaps = [];
  channel.addEventListener('gap', (event) => gaps.push([event.detail.first, event.detail.last]));
  const socket = FakeSocket.last;
  socket.says(subscribed(socket.sent[0].id, { offset: 4 }));
  socket.says({ type: TYPE.GAP, payload: { channel: 'c', first: 5, last: 20 } });
  assert.deepEqual(gaps, [[5, 20]]);
  assert.deepEqual(channel.position, { epoch: 'e', offset: 20 });
});

test('what is missed after a resume is not taken for seen', (t) => {
  const client = scripted(t);
  const channel = client.subscribe('c', { epoch: 'e', offset: 3 });
  const seen = [];
  channel.addEventListener('publication', (event) => seen.push(event.detail.offset));
  const socket = FakeSocket.last;
  socket.says(subscribed(socket.sent[0].id, { offset: 6, recovered: true, publications: 0 }));
  for (const offset of [4, 6, 7]) socket.says({ type: 9, channel: 'c', offset, payload: {} });
  assert.deepEqual(seen, [4, 6, 7]);
});

test('requests in flight fail as disconnected, and the subscription resumes', async (t) => {
  const client = scripted(t);
  client.subscribe('c');
  FakeSocket.last.says(subscribed(FakeSocket.last.sent[0].id, { offset: 4 }));
  const lost = assert.rejects(client.request(1, {}), { code: 0, disconnected: true, temporary: true });
  FakeSocket.last.dies();
  await lost;
  await until(() => FakeSocket.all.length === 2, 'a second connection');
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent[0].payload, { channel: 'c', epoch: 'e', offset: 4 });
});

test('a server that says nothing any more is found out', async (t) => {
  const client = scripted(t, { pingMs: 30, pongMs: 30 });
  const states = [];
  client.addEventListener('state', (event) => states.push(event.detail.reason ?? event.detail.state));
  await until(() => FakeSocket.all.length === 2, 'a new connection');
  assert.equal(FakeSocket.all[0].sent[0].type, TYPE.PING);
  assert.equal(FakeSocket.all[0].closed, true);
  assert.deepEqual(states, ['the server does not answer', 'connecting']);
});

test('one that answers pings is left alone', async (t) => {
  const client = scripted(t, { pingMs: 20, pongMs: 20 });
  const socket = FakeSocket.last;
  const answer = setInterval(() => socket.sent.splice(0).forEach(({ id }) => socket.says({ type: TYPE.OK, id, payload: { ok: {} } })), 5);
  await sleep(200);
  clearInterval(answer);
  assert.equal(FakeSocket.all.length, 1);
  assert.equal(client.isOpen, true);
});

test('codes that mean "do not come back" end it, others do not', async (t) => {
  for (const [code, final] of [[1001, false], [1008, false], [1012, false], [3001, false], [3008, false], [3503, true], [4500, true], [4499, false]]) {
    const client = scripted(t);
    FakeSocket.last.dies(code, 'why');
    assert.equal(client.state, final ? 'closed' : 'waiting', String(code));
    client.close();
  }
});

test('a request without an answer is unknown, not failed', async (t) => {
  const client = scripted(t);
  await assert.rejects(client.request(1, {}, { timeoutMs: 20 }), { code: 120, temporary: true });
});

test('a publication with an id in its payload is no answer', async (t) => {
  const client = scripted(t);
  const channel = client.subscribe('c');
  const socket = FakeSocket.last;
  socket.says(subscribed(socket.sent[0].id, { offset: 0 }));
  const texts = collect(channel);
  const answer = client.request(1, { message: 'x' }, { id: 'mine' });
  socket.says({ type: 1, channel: 'c', offset: 1, payload: { message: 'x', id: 'mine' } });
  assert.deepEqual(texts, ['x']);
  socket.says({ type: TYPE.OK, id: 'mine', payload: { ok: { offset: 1 } } });
  assert.deepEqual(await answer, { offset: 1 });
});

test('nonsense from the wire is ignored', (t) => {
  const client = scripted(t);
  const messages = [];
  client.addEventListener('message', (event) => messages.push(event.detail.type));
  for (const data of ['', '[1]', 'null', '{"type":"1"}', '{"type":1.5}', '{"payload":{}}', new ArrayBuffer(4)])
    FakeSocket.last.dispatchEvent(Object.assign(new Event('message'), { data }));
  FakeSocket.last.says({ type: 5, payload: null });
  assert.deepEqual(messages, [5]);
});

test('the wait is random below a ceiling that doubles up to the cap', () => {
  const ceiling = new Backoff({ random: () => 1 });
  assert.deepEqual(Array.from({ length: 8 }, () => ceiling.next()), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  ceiling.reset();
  assert.equal(ceiling.next(), 500);
  const half = new Backoff({ random: () => 0.5 });
  assert.deepEqual([half.next(), half.next()], [250, 500]);
});

test('the back-off starts anew only after a stable connection', async (t) => {
  const waits = [];
  const backoff = new Backoff({ random: () => 0 });
  const client = scripted(t, { backoff, stableMs: 50 });
  client.addEventListener('state', (event) => event.detail.state === 'waiting' && waits.push(backoff.attempt));
  for (let i = 0; i < 3; i++) {
    const before = FakeSocket.all.length;
    FakeSocket.last.dies();
    await until(() => FakeSocket.all.length > before, 'the next connection');
    FakeSocket.last.opens();
  }
  await sleep(80);
  FakeSocket.last.dies();
  assert.deepEqual(waits, [1, 2, 3, 1]);
});

/* ---- outbox ---- */

class MemoryStorage {
  map = new Map();
  get length() { return this.map.size; }
  key(i) { return [...this.map.keys()][i]; }
  getItem(key) { return this.map.get(key) ?? null; }
  setItem(key, value) { this.map.set(key, value); }
  removeItem(key) { this.map.delete(key); }
}

function newOutbox(send, { storage = new MemoryStorage(), tab = 'a', isReady = () => true } = {}) {
  return new Outbox({ send, isReady, storage, prefix: 'box', tab, backoff: new Backoff({ baseMs: 10, random: () => 0.1 }) });
}

const failure = (fields) => Object.assign(new Error(fields.message ?? 'no'), fields);

test('the outbox sends one after the other within a group and keeps others going', async () => {
  const going = [];
  const box = newOutbox((entry) => new Promise((resolve) => going.push({ text: entry.payload.text, resolve })));
  for (const [group, text] of [['a', 'a1'], ['a', 'a2'], ['b', 'b1']]) box.add(group, { text });
  assert.deepEqual(going.map((g) => g.text), ['a1', 'b1']);
  going[0].resolve({});
  await until(() => going.length === 3, 'the next of the group');
  assert.equal(going[2].text, 'a2');
});

test('the outbox tries again after temporary errors, with the same id and in order', async () => {
  const ids = [];
  const box = newOutbox(async ({ id, payload }) => {
    ids.push([payload.text, id]);
    if (ids.length < 3) throw failure({ temporary: true, message: 'too many' });
    return { offset: 1 };
  });
  const first = box.add('a', { text: 'one' });
  const second = box.add('a', { text: 'two' });
  await until(() => box.entries.length === 0, 'both sent');
  assert.deepEqual(ids, [['one', first.id], ['one', first.id], ['one', first.id], ['two', second.id]]);
});

test('a refused message stays until somebody decides, and holds up nobody', async () => {
  const sent = [];
  const box = newOutbox(async ({ payload }) => {
    if (payload.text === 'bad') throw failure({ temporary: false, message: 'too long' });
    sent.push(payload.text);
    return {};
  });
  const bad = box.add('a', { text: 'bad' });
  box.add('a', { text: 'good' });
  await until(() => sent.length === 1, 'the good one');
  assert.deepEqual(box.entries.map((e) => [e.payload.text, e.state, e.problem]), [['bad', 'failed', 'too long']]);
  box.discard(bad.id);
  assert.equal(box.entries.length, 0);
});

test('the outbox survives a reload, and takes over from a tab that is gone, not from a living one', () => {
  const storage = new MemoryStorage();
  const never = () => new Promise(() => {});
  newOutbox(never, { storage, tab: 'a' }).add('room', { text: 'mine' });
  newOutbox(never, { storage, tab: 'b' }).add('room', { text: 'of the other tab' });
  assert.deepEqual(newOutbox(never, { storage, tab: 'a' }).entries.map((e) => [e.payload.text, e.state]), [['mine', 'waiting']]);
  const left = JSON.parse(storage.getItem('box.b'));
  storage.setItem('box.b', JSON.stringify({ ...left, aliveMs: Date.now() - 60_000 }));
  assert.deepEqual(newOutbox(never, { storage, tab: 'c' }).entries.map((e) => e.payload.text), ['of the other tab']);
  assert.equal(storage.getItem('box.b'), null);
});

test('a message seen in the log is done, whatever became of its answer', async () => {
  const results = [];
  let tries = 0;
  const waiting = newOutbox(async () => { tries += 1; return {}; }, { isReady: () => false });
  const entry = waiting.add('a', { text: 'x' });
  waiting.addEventListener('sent', (event) => results.push(event.detail.result));
  waiting.confirm(entry.id, { offset: 7 });
  waiting.confirm('unknown', { offset: 8 });
  waiting.pump();
  assert.equal(tries, 0);
  assert.deepEqual(results, [{ offset: 7 }]);
});

test('what was on its way when the line broke waits for the next pump', async () => {
  let tries = 0;
  const box = newOutbox(async () => {
    tries += 1;
    if (tries === 1) throw failure({ disconnected: true, temporary: true });
    return {};
  });
  const entry = box.add('a', { text: 'x' });
  await sleep(20);
  assert.deepEqual([tries, entry.state], [1, 'waiting']);
  box.pump();
  await until(() => box.entries.length === 0, 'sent');
  assert.equal(tries, 2);
});

test('a broken or full storage loses nothing while the page lives', async () => {
  const storage = new MemoryStorage();
  storage.setItem('box.old', '{broken');
  storage.setItem = () => { throw new Error('full'); };
  const sent = [];
  const box = newOutbox(async ({ payload }) => sent.push(payload.text), { storage });
  box.add('a', { text: 'x' });
  await until(() => sent.length === 1, 'sent');
});
