// The module interface crier.h, by the module in module/prober.c.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { buildDir, startCrier } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const ECHO = 100;
const config = (module = {}) => ({ server: { module_dir: join(buildDir, 'tests', 'modules') }, module: [{ name: 'prober', ...module }],
  namespace: [{ name: 'default', publish: true, history: 100 }] });
const start = (t, module) => startCrier({ t, config: config(module) });

test('a handler gets the payload and answers with its type and the id, in every form', async (t) => {
  const server = await start(t);
  for (const form of ['object', 'string', 'binary']) {
    const client = await server.typed({ form });
    client.send(ECHO, { text: 'äö "x"', list: [1] }, form === 'binary' ? undefined : 7);
    const answer = await client.nextType(ECHO);
    assert.deepEqual(answer.payload, { text: 'äö "x"', list: [1] }, form);
    assert.equal(answer.id, form === 'binary' ? undefined : 7);
  }
});

test('a payload that is not in the codec of the handler is an error, the session stays', async (t) => {
  const server = await start(t);
  const client = await server.typed({ form: 'binary' });
  for (const payload of ['', '{', 'text', "{'a':1}", '{"a":1}x', '[1,]', '{"a":"\\ud800"}', '{"a":1e999}', '12345678901234567890', '"\u0001"',
    '['.repeat(33) + ']'.repeat(33)]) {
    client.send(ECHO, payload);
    const answer = await client.next();
    assert.equal(answer.type, TYPE.error, JSON.stringify(payload));
    assert.ok(answer.payload.error.message);
  }
  client.send(ECHO, Buffer.from([0x22, 0xff, 0x22]));
  assert.equal((await client.next()).type, TYPE.error, 'not UTF-8');
  client.send(ECHO, '{}');
  assert.equal((await client.next()).type, ECHO);
});

test('errors, acknowledgements and publishes of a handler', async (t) => {
  const server = await start(t);
  const client = await server.typed();
  const failed = await client.request(101, {});
  assert.deepEqual([failed.type, failed.payload.error.code, failed.payload.error.message], [TYPE.error, 107, 'told to fail']);
  assert.equal((await client.request(102, {})).type, TYPE.ok);
  await client.subscribe('news');
  const stored = await client.request(103, { n: 1 });
  assert.equal(stored.payload.ok.offset, 1);
  assert.deepEqual((await client.publications('news', 1))[0].payload, { n: 1 });
  assert.equal((await client.request(104, { n: 1 })).payload.error.code, 102);
});

test('broadcast reaches every session on every loop, send reaches one, send to a user all of that user', async (t) => {
  const server = await start(t);
  const clients = await Promise.all(['ada', 'ada', 'ben', 'ben', 'cyd', 'cyd'].map((user) => server.typed({ path: `/ws?user=${user}&format=object` })));
  clients[0].send(105, { to: 'all' });
  for (const client of clients) assert.deepEqual((await client.nextType(200)).payload, { to: 'all' });
  clients[2].send(106, { to: 'ben' });
  for (const i of [2, 3]) assert.deepEqual((await clients[i].nextType(201)).payload, { to: 'ben' });
  clients[4].send(107, {});
  for (const n of [1, 2, 3]) assert.equal((await clients[4].nextType(202)).payload, n);
  for (const client of clients) await client.expectSilence(20);
});

test('a connect hook refuses before the upgrade with status and reason, and may name the user', async (t) => {
  const server = await start(t);
  const refused = await server.typed({ path: '/ws?refuse=403' }).catch((error) => error);
  assert.equal(refused.status, 403);
  assert.match(refused.text, /refused by the module/);
  assert.equal((await server.typed({ headers: { 'X-Refuse-Me': '1' } }).catch((error) => error)).status, 418);
  assert.equal((await server.metrics()).value('crier_handshakes_refused_total'), 2);
});

test('open and disconnect hooks run once, with the code of the end', async (t) => {
  const server = await start(t, { greeting: '"welcome"' });
  const watcher = await server.typed({ path: '/ws?user=watcher&format=object' });
  assert.equal((await watcher.nextType(203)).payload, 'welcome');
  await watcher.subscribe('gone');
  const ends = { a: (c) => c.end(4321), b: (c) => c.terminate(), c: (c) => c.send(108, {}) };
  for (const [user, end] of Object.entries(ends)) {
    const client = await server.typed({ path: `/ws?user=${user}` });
    await end(client);
    await client.closed;
    const [{ payload }] = await watcher.publications('gone', 1);
    assert.deepEqual(payload, { user, code: { a: 4321, b: 1006, c: 4001 }[user] });
    if (user === 'c') assert.deepEqual(client.close, { code: 4001, reason: 'asked to leave' });
  }
  await watcher.expectSilence(50);
});

test('a handler can subscribe its session', async (t) => {
  const server = await start(t);
  await server.api('publish', { channel: 'news', data: { n: 1 } });
  const client = await server.typed();
  client.send(109, {});
  const subscribed = await client.nextType(TYPE.subscribed);
  assert.deepEqual([subscribed.payload.channel, subscribed.payload.publications], ['news', 1]);
  assert.deepEqual((await client.publications('news', 1))[0].payload, { n: 1 });
});

test('a route of a module gets path, query and body', async (t) => {
  const server = await start(t);
  const reply = await server.request('POST', '/prober/a/b%20c?name=x%26y', { body: 'sent' });
  assert.deepEqual([reply.status, reply.text], [202, 'rest=a/b c name=x&y body=sent']);
  assert.equal((await server.get('/prober/a')).status, 405);
});

test('a module that cannot start, and one that is not there, stop the start with the line', async (t) => {
  const failing = await startCrier({ t, start: false, config: config({ fail: 'no luck' }) });
  await assert.rejects(failing.start(), /config\.toml:\d+.*no luck/s);
  failing.problems = [];
  const missing = await startCrier({ t, start: false, config: { module: [{ name: 'nothere' }] } });
  await assert.rejects(missing.start(), /config\.toml:\d+.*nothere/s);
  missing.problems = [];
});
