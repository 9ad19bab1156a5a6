// The server API beyond publishing and reading: options of publications, sessions, handlers, maps.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { channelsClient, gotPublications, publications, subscribed } from '../lib/channels.mjs';
import { API_KEY, buildDir, sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { tokenOf } from '../lib/tokens.mjs';

const key = { 'X-API-Key': API_KEY };
const namespaces = [{ name: 'default', publish: true, history: 10, presence: true }, { name: 'plain', history: 0 },
  { name: 'map', keyed: true, history: 100 }, { name: 'brief', keyed: true, key_ttl: '60s', map: 'ephemeral' }];
const start = (t, more = {}) => startCrier({ t, config: { namespace: namespaces, ...more } });
const call = async (server, method, body, headers = key) => (await server.request('POST', `/api/${method}`, { json: body, headers })).json;
const event = (client, name) => until(() => client.events_.find((e) => e.name === name), name);

// ---- publications ----

test('tags reach subscribers and history, and are texts', async (t) => {
  const server = await start(t);
  const sub = await subscribed(await channelsClient(t, server), 'news');
  await server.api('publish', { channel: 'news', data: 1, tags: { line: '550', mode: 'bus' } });
  assert.deepEqual((await gotPublications(sub, 1))[0].tags, { line: '550', mode: 'bus' });
  assert.deepEqual((await server.api('history', { channel: 'news', limit: 1 })).publications[0].tags, { line: '550', mode: 'bus' });
  for (const tags of [{ a: 1 }, ['a'], 'a', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`t${i}`, 'x']))])
    assert.equal((await call(server, 'publish', { channel: 'news', data: 1, tags })).error?.code, 107, JSON.stringify(tags).slice(0, 40));
  assert.ok((await call(server, 'publish', { channel: 'news', data: 1, tags: null })).result);
});

for (const [kind, more] of Object.entries({
  memory: {},
  'the embedded log': {
    bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
    source: [{ bridge: 'log', topic: 'news', channel: 'news', from: 'history' }],
    sink: [{ channel: 'news', bridge: 'log', topic: 'news' }],
  },
})) {
  test(`${kind}: who has the answer to a publish finds it there, in the history and when he subscribes`, async (t) => {
    const server = await start(t, { limits: { rate_messages: 0 }, ...more });
    const client = await channelsClient(t, server);
    const sub = await subscribed(client, 'news');
    for (let n = 1; n <= 100; n++) {
      sub.unsubscribe();
      await server.api('publish', { channel: 'news', data: n });
      const [newest] = (await client.history('news', { limit: 1, reverse: true })).publications;
      assert.equal(newest.data, n);
      sub.subscribe();
      await sub.ready(5000 * slowness);
      assert.deepEqual([sub.seen.findLast((e) => e.name === 'subscribed').recovered, publications(sub).at(-1)?.offset], [true, n]);
    }
  });
}

test('history says which client published, for API and polling', async (t) => {
  const server = await startCrier({ t, config: { namespace: namespaces } });
  const client = await channelsClient(t, server, { token: server.token({ sub: 'ann', info: { name: 'Ann\n' } }) });
  await client.publish('news', { n: 1 });
  await server.api('publish', { channel: 'news', data: { n: 2 } });
  const [{ info }, byServer] = (await server.api('history', { channel: 'news', limit: -1 })).publications;
  assert.deepEqual([info.user, info.conn_info, byServer.info], ['ann', { name: 'Ann\n' }, undefined]);
  assert.match(info.client, /^[\w-]{12}$/);
  assert.deepEqual((await server.get('/channels/news')).json.publications.map((p) => p.info), [info, undefined]);
});

test('skip_history: who is there gets it, nobody finds it later', async (t) => {
  const server = await start(t);
  const sub = await subscribed(await channelsClient(t, server), 'news');
  assert.deepEqual(await server.api('publish', { channel: 'news', data: 'gone', skip_history: true }), {});
  const [publication] = await gotPublications(sub, 1);
  assert.deepEqual([publication.data, publication.offset], ['gone', undefined]);
  assert.deepEqual((await server.api('history', { channel: 'news', limit: -1 })).publications, []);
});

test('a version that is not above the last one is dropped and answered with the position', async (t) => {
  const server = await start(t);
  const sub = await subscribed(await channelsClient(t, server), 'news');
  const publish = (data, version, version_epoch) => server.api('publish', { channel: 'news', data, version, ...(version_epoch && { version_epoch }) });
  assert.equal((await publish('a', 5)).offset, 1);
  assert.equal((await publish('b', 5)).offset, 1);
  assert.equal((await publish('c', 4)).offset, 1);
  assert.equal((await publish('d', 6)).offset, 2);
  assert.equal((await publish('e', 1, 'next')).offset, 3);
  assert.equal((await publish('f', 1, 'next')).offset, 3);
  assert.equal((await call(server, 'publish', { channel: 'news', data: 1, version: 'x' })).error.code, 107);
  assert.equal((await call(server, 'publish', { channel: 'news', data: 1, version: -1 })).error.code, 107);
  await sleep(50);
  assert.deepEqual(publications(sub).map((p) => p.data), ['a', 'd', 'e']);
});

test('an idempotency key counts for each channel of a broadcast', async (t) => {
  const server = await start(t);
  const once = () => server.api('broadcast', { channels: ['a', 'b'], data: 1, idempotency_key: 'k1' });
  const first = await once();
  assert.deepEqual(await once(), first);
  assert.equal((await server.api('publish', { channel: 'a', data: 2, idempotency_key: 'k1' })).offset, 1);
  assert.equal((await server.api('publish', { channel: 'a', data: 2, idempotency_key: 'k2' })).offset, 2);
  assert.equal((await server.api('publish', { channel: 'a', data: 2, idempotency_key: '' })).offset, 3);
});

test('empty data is refused, null is data', async (t) => {
  const server = await start(t);
  assert.equal((await call(server, 'publish', { channel: 'news' })).error.code, 107);
  assert.equal((await call(server, 'publish', { channel: 'news', b64data: '' })).error.code, 107);
  assert.equal((await call(server, 'publish', { channel: 'news', b64data: 7 })).error.code, 107);
  assert.equal((await call(server, 'publish', { channel: 'news', data: null })).result.offset, 1);
  assert.equal((await call(server, 'publish', { channel: 'news', data: 'x', b64data: '' })).result.offset, 2);
});

test('transport mode: each error has its status', async (t) => {
  const server = await start(t);
  const headers = { ...key, 'X-Centrifugo-Error-Mode': 'transport' };
  for (const [method, body, status, code] of [['history', { channel: 'plain:x' }, 400, 108], ['rpc', { method: 'none' }, 404, 104],
    ['subscribe', { user: 'a', channel: 'no:x' }, 404, 102], ['history', { channel: 'news', since: { epoch: 'x', offset: 1 } }, 416, 112]]) {
    const reply = await server.request('POST', `/api/${method}`, { json: body, headers });
    assert.deepEqual([reply.status, reply.json.code], [status, code], reply.text);
  }
});

// ---- sessions ----

/** Two clients of one user and one of another, on whatever loops. */
async function people(t, server) {
  const clients = await Promise.all(['ann', 'ann', 'ben'].map((sub) => channelsClient(t, server, { token: tokenOf({ sub }) })));
  return clients.map((client) => ({ client, id: client.events_.find((e) => e.name === 'connected').client }));
}

test('subscribe and unsubscribe all sessions of a user, or one', async (t) => {
  const server = await start(t);
  const [one, two, other] = await people(t, server);
  await server.api('subscribe', { user: 'ann', channel: 'news', data: { hello: 1 } });
  for (const { client } of [one, two]) assert.deepEqual((await event(client, 'subscribed')).data, { hello: 1 });
  await server.api('publish', { channel: 'news', data: 'x' });
  for (const { client } of [one, two]) assert.equal((await event(client, 'publication')).data, 'x');
  assert.equal(other.client.events_.some((e) => ['subscribed', 'publication'].includes(e.name)), false);

  await server.api('unsubscribe', { user: 'ann', channel: 'news', client: two.id });
  await event(two.client, 'unsubscribed');
  await until(async () => (await server.api('presence_stats', { channel: 'news' })).num_clients === 1, 'one is left');
  await server.api('publish', { channel: 'news', data: 'y' });
  await until(() => one.client.events_.filter((e) => e.name === 'publication').length === 2, 'the other is still there');
  await sleep(50);
  assert.equal(two.client.events_.filter((e) => e.name === 'publication').length, 1);
});

test('subscribe: from a position, with what others see, and on the typed wire', async (t) => {
  const server = await start(t);
  for (let i = 1; i <= 4; i++) await server.api('publish', { channel: 'news', data: i });
  const { epoch } = await server.api('history', { channel: 'news' });
  const [ann] = await people(t, server);
  await server.api('subscribe', { user: 'ann', client: ann.id, channel: 'news', info: { role: 'admin' }, recover_since: { epoch, offset: 2 } });
  await until(() => ann.client.events_.filter((e) => e.name === 'publication').length === 2, 'what was missed');
  assert.deepEqual(ann.client.events_.filter((e) => e.name === 'publication').map((p) => p.data), [3, 4]);
  const { presence } = await server.api('presence', { channel: 'news' });
  assert.deepEqual(presence[ann.id].chan_info, { role: 'admin' });

  const typed = await server.typed({ path: `/ws?token=${tokenOf({ sub: 'tom' })}&format=object` });
  await server.api('subscribe', { user: 'tom', channel: 'news', recover_since: { epoch, offset: 3 } });
  assert.deepEqual((await typed.publications('news', 1)).map((p) => p.payload), [4]);
  await server.api('unsubscribe', { user: 'tom', channel: 'news' });
  await until(async () => (await server.api('presence_stats', { channel: 'news' })).num_clients === 1, 'unsubscribed');
});

test('calls on sessions say what is wrong with them, and nobody found is no error', async (t) => {
  const server = await start(t);
  for (const [method, body, code] of [['subscribe', { channel: 'news' }, 107], ['subscribe', { user: 'a' }, 107], ['subscribe', { user: 'a', channel: 'no:x' }, 102],
    ['subscribe', { user: 'a', channel: 'news', override: { presence: true } }, 107], ['subscribe', { user: 'a', channel: 'news', b64info: '*' }, 107],
    ['subscribe', { user: 'a', channel: 'news', recover_since: { offset: -1 } }, 107], ['subscribe', { user: 7, channel: 'news' }, 107],
    ['unsubscribe', { user: 'a' }, 107], ['disconnect', {}, 107], ['disconnect', { user: 'a', whitelist: 'x' }, 107],
    ['disconnect', { user: 'a', disconnect: { code: 1000 } }, 107], ['disconnect', { user: 'a', disconnect: { code: 4000, reason: 'x'.repeat(124) } }, 107],
    ['refresh', { user: 'a', expire_at: 'soon' }, 107], ['refresh', { user: 'a', expired: 1 }, 107]])
    assert.equal((await call(server, method, body)).error?.code, code, `${method} ${JSON.stringify(body)}`);
  for (const [method, body] of [['subscribe', { user: 'nobody', channel: 'news' }], ['unsubscribe', { user: '', channel: 'news' }],
    ['disconnect', { user: 'nobody' }], ['refresh', { user: 'nobody', expire_at: 1 }]])
    assert.deepEqual(await call(server, method, body), { result: {} }, method);
});

test('disconnect spares the whitelist and gives code and reason', async (t) => {
  const server = await start(t);
  const [one, two, other] = await people(t, server);
  await server.api('disconnect', { user: 'ann', whitelist: [one.id], disconnect: { code: 4501, reason: 'go away' } });
  const { code, reason } = await event(two.client, 'disconnected');
  assert.deepEqual([code, reason], [4501, 'go away']);
  await server.api('disconnect', { user: 'ben', disconnect: { code: 0, reason: '' } });
  assert.equal((await event(other.client, 'disconnected')).code, 3503);
  await sleep(50);
  assert.equal(one.client.events_.some((e) => e.name === 'disconnected'), false);
});

test('refresh: a session ends at the time that is set, at once, or not at all', async (t) => {
  const server = await start(t, { auth: { leeway: 0 }, limits: { refresh_ms: 0 } });
  const in2s = Math.floor(Date.now() / 1000) + 2;
  const [one, two, other] = await people(t, server);
  for (const { client } of [one, two, other]) client.events_.length = 0;
  await server.api('refresh', { user: 'ann', client: one.id, expire_at: in2s });
  await server.api('refresh', { user: 'ben', expired: true });
  assert.equal((await event(other.client, 'connecting')).code, 3005);
  assert.equal((await event(one.client, 'connecting')).code, 3005);
  assert.ok(Date.now() / 1000 >= in2s && Date.now() / 1000 < in2s + 3, 'on time');
  assert.equal(two.client.events_.length, 0);
});

// ---- handlers ----

test('rpc calls the handler of that name and gives its answer', async (t) => {
  const server = await start(t, { server: { module_dir: join(buildDir, 'tests', 'modules') }, module: [{ name: 'prober' }],
    limits: { publish_timeout_ms: 500 } });
  assert.deepEqual(await server.api('rpc', { method: 'echo', params: { a: [1, 'ä'] } }), { data: { a: [1, 'ä'] } });
  assert.deepEqual(await server.api('rpc', { method: 'echo' }), { data: {} });
  assert.deepEqual(await server.api('rpc', { method: 'ok' }), { data: {} });
  assert.deepEqual((await call(server, 'rpc', { method: 'fail', params: {} })).error, { code: 107, message: 'told to fail' });
  assert.equal((await call(server, 'rpc', { method: 'none' })).error.code, 104);
  assert.equal((await call(server, 'rpc', {})).error.code, 107);
  const { data } = await server.api('rpc', { method: 'publish', params: { text: 'by rpc' } });
  assert.equal(data.offset, 1);
  assert.deepEqual((await server.api('history', { channel: 'news', limit: 1 })).publications[0].data, { text: 'by rpc' });
  assert.equal((await call(server, 'rpc', { method: 'publish_nowhere', params: 1 })).error.code, 102);
  // What a handler does to its session finds nobody, and harms nothing.
  for (const method of ['join', 'send_self', 'send_user', 'leave', 'broadcast']) call(server, 'rpc', { method, params: {} }).catch(() => {}); // cut when the server stops
  await sleep(100);
  assert.deepEqual(await server.api('rpc', { method: 'echo', params: 1 }), { data: 1 });
});

test('rpc: a handler that never answers is answered for', async (t) => {
  const server = await start(t, { server: { module_dir: join(buildDir, 'tests', 'modules') }, module: [{ name: 'prober' }], limits: { publish_timeout_ms: 100 } });
  const reply = await call(server, 'rpc', { method: 'broadcast', params: {} });
  assert.equal(reply.error.code, 108);
  assert.match(reply.error.message, /no answer/);
});

// ---- maps ----

test('map_publish, map_remove and the state in pages', async (t) => {
  const server = await start(t);
  const change = (k, data, more = {}) => server.api('map_publish', { channel: 'map:m', key: k, data, ...more });
  for (const k of ['b', 'a', 'd', 'c']) await change(k, { k });
  const first = await server.api('map_read_state', { channel: 'map:m', limit: 3 });
  assert.deepEqual(first.entries.map((e) => [e.key, e.data.k, e.offset]), [['a', 'a', 2], ['b', 'b', 1], ['c', 'c', 4]]);
  assert.equal(first.offset, 4);
  const rest = await server.api('map_read_state', { channel: 'map:m', limit: 3, cursor: first.cursor });
  assert.deepEqual([rest.entries.map((e) => e.key), rest.cursor], [['d'], undefined]);
  assert.deepEqual((await server.api('map_read_state', { channel: 'map:m', limit: -1, key: 'c' })).entries.map((e) => e.key), ['c']);
  assert.deepEqual((await server.api('map_read_state', { channel: 'map:m' })).entries, []);
  assert.deepEqual(await server.api('map_stats', { channel: 'map:m' }), { num_keys: 4 });
  assert.equal((await server.api('map_remove', { channel: 'map:m', key: 'b' })).offset, 5);
  const stream = await server.api('map_read_stream', { channel: 'map:m', limit: -1, since_offset: 3, since_epoch: first.epoch });
  assert.deepEqual(stream.entries.map((e) => [e.key, e.offset, e.removed ?? false]), [['c', 4, false], ['b', 5, true]]);
  assert.deepEqual(await server.api('map_stats', { channel: 'map:m' }), { num_keys: 3 });
});

test('changes under conditions say why they changed nothing', async (t) => {
  const server = await start(t);
  const change = (k, more = {}) => server.api('map_publish', { channel: 'map:m', key: k, data: 1, ...more });
  const { epoch } = await change('a', { version: 3 });
  const suppressed = (reason) => ({ offset: 1, epoch, suppressed: true, suppress_reason: reason });
  assert.deepEqual(await change('a', { key_mode: 'if_new' }), suppressed('key_exists'));
  assert.deepEqual(await change('z', { key_mode: 'if_exists' }), suppressed('key_not_found'));
  assert.deepEqual(await change('a', { version: 3 }), suppressed('version'));
  assert.equal((await change('b', { key_mode: 'if_new', idempotency_key: 'i' })).offset, 2);
  assert.deepEqual(await change('b', { idempotency_key: 'i' }), { offset: 2, epoch, suppressed: true, suppress_reason: 'idempotency' });
  for (const [method, body, code] of [['map_publish', { channel: 'news', key: 'a', data: 1 }, 107], ['map_publish', { channel: 'map:m', data: 1 }, 107],
    ['map_publish', { channel: 'map:m', key: '', data: 1 }, 107], ['map_publish', { channel: 'map:m', key: 'a' }, 107],
    ['map_publish', { channel: 'map:m', key: 'a', data: 1, key_mode: 'x' }, 107], ['map_remove', { channel: 'map:m' }, 107],
    ['map_read_state', { channel: 'news' }, 107], ['map_stats', { channel: 'no:x' }, 102], ['map_read_stream', { channel: 'news' }, 107],
    ['map_read_state', { channel: 'map:m', revision_offset: 1, revision_epoch: 'other' }, 112], ['map_clear', { channel: 'news' }, 107]])
    assert.equal((await call(server, method, body)).error?.code, code, `${method} ${JSON.stringify(body)}`);
});

test('map_clear begins a new epoch; ephemeral maps tell no offsets', async (t) => {
  const server = await start(t);
  const { epoch } = await server.api('map_publish', { channel: 'map:m', key: 'a', data: 1 });
  assert.deepEqual(await server.api('map_clear', { channel: 'map:m' }), {});
  const after = await server.api('map_publish', { channel: 'map:m', key: 'b', data: 1 });
  assert.equal(after.offset, 1);
  assert.notEqual(after.epoch, epoch);
  assert.deepEqual((await server.api('map_read_state', { channel: 'map:m', limit: -1 })).entries.map((e) => e.key), ['b']);
  const brief = await server.api('map_publish', { channel: 'brief:m', key: 'a', data: 1 });
  assert.deepEqual(Object.keys(brief), ['epoch']);
  const state = await server.api('map_read_state', { channel: 'brief:m', limit: -1 });
  assert.deepEqual([state.entries.length, state.offset], [1, undefined]);
});

test('POST /api takes commands one behind the other, in the older shape', async (t) => {
  const server = await start(t);
  const post = async (body, headers = key) => {
    const reply = await fetch(`${server.url}/api`, { method: 'POST', body, headers });
    return { status: reply.status, text: await reply.text() };
  };
  const lines = (commands) => commands.map((c) => JSON.stringify(c)).join('\n');
  const publishes = Array.from({ length: 50 }, (_, i) => ({ method: 'publish', params: { channel: 'news', data: { i } } }));
  const { status, text } = await post(lines([...publishes, { method: 'history', params: { channel: 'news', limit: -1 } }, { method: 'nope' }, { method: 'info' }]));
  const replies = text.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual([status, replies.length], [200, 53]);
  assert.deepEqual(replies.slice(0, 50).map((r) => r.result.offset), publishes.map((_, i) => i + 1));
  assert.ok(Array.isArray(replies[50].result.publications));
  assert.equal(replies[51].error.code, 104);
  assert.equal(replies[52].result.nodes.length, 1);
  assert.match((await post('{"method":"publish","params":{"channel":"no:x","data":1}}')).text, /^\{"error":\{"code":102,.*\}\n$/);
  for (const bad of ['', '5', '{', '{}', '{"method":1}', '{"method":"info","params":[]}', '{"method":"info"}x', '{"method":"info"}{'])
    assert.equal((await post(bad)).status, 400, bad);
  assert.equal((await post('{"method":"info"}', {})).status, 401);
});
