// The server API: keys, shapes of requests and replies, errors.
import assert from 'node:assert/strict';
import test from 'node:test';
import { API_KEY, startCrier } from '../lib/crier.mjs';

const key = { 'X-API-Key': API_KEY };
const namespaces = [{ name: 'default', publish: true, history: 10 }, { name: 'plain', history: 0 }, { name: 'here', presence: true }];
const start = (t, more = {}) => startCrier({ t, config: { namespace: namespaces, ...more } });
const call = (server, method, body, headers = key) => server.request('POST', `/api/${method}`, { json: body, headers });

test('the key comes in a header or in the query; any other way is 401 without a body', async (t) => {
  const server = await start(t);
  const body = { json: { channel: 'news', data: 1 } };
  for (const headers of [key, { Authorization: `apikey ${API_KEY}` }, { 'x-api-key': API_KEY }])
    assert.equal((await server.request('POST', '/api/publish', { ...body, headers })).status, 200);
  assert.equal((await server.request('POST', `/api/publish?api_key=${API_KEY}`, body)).status, 200);
  for (const headers of [{}, { 'X-API-Key': 'wrong' }, { 'X-API-Key': '' }, { 'X-API-Key': API_KEY.slice(0, -1) }, { 'X-API-Key': `${API_KEY}x` },
    { Authorization: `Bearer ${API_KEY}` }, { Authorization: 'apikey wrong' }]) {
    const reply = await server.request('POST', '/api/publish', { ...body, headers });
    assert.deepEqual([reply.status, reply.text], [401, ''], JSON.stringify(headers));
  }
  assert.equal((await server.request('POST', '/api/publish?api_key=wrong', body)).status, 401);
});

test('without a configured key the server API is off', async (t) => {
  const server = await start(t, { auth: { api_key_file: '' } });
  for (const headers of [{}, key, { 'X-API-Key': '' }]) assert.equal((await call(server, 'info', {}, headers)).status, 401);
});

test('what is no call: GET 405, unknown method 404, a body that is no JSON object 400', async (t) => {
  const server = await start(t);
  assert.equal((await server.get('/api/publish', { headers: key })).status, 405);
  assert.equal((await call(server, 'nothing', {})).status, 404);
  assert.equal((await call(server, '', {})).status, 404);
  for (const body of ['', ' ', '[]', '"x"', '{', '{"channel":"a","data":}', '{"a":1}x'])
    assert.equal((await server.request('POST', '/api/publish', { body, headers: key })).status, 400, body);
});

test('publish answers with the position and reaches subscribers', async (t) => {
  const server = await start(t);
  const client = await server.typed();
  const { epoch } = await client.subscribe('news');
  const reply = await call(server, 'publish', { channel: 'news', data: { a: [1, 2] } });
  assert.equal(reply.status, 200);
  assert.match(reply.headers['content-type'], /^application\/json/);
  assert.deepEqual(reply.json, { result: { offset: 1, epoch } });
  const [message] = await client.publications('news', 1);
  assert.deepEqual([message.payload, message.offset], [{ a: [1, 2] }, 1]);
  assert.equal((await call(server, 'publish', { channel: 'news', data: null })).json.result.offset, 2);
  assert.equal((await client.publications('news', 1))[0].payload, null);
});

test('b64data publishes bytes', async (t) => {
  const server = await start(t);
  const client = await server.typed({ form: 'binary' });
  await client.subscribe('news');
  const bytes = Buffer.from([0, 255, 1, 128, 10]);
  assert.equal((await call(server, 'publish', { channel: 'news', b64data: bytes.toString('base64') })).json.result.offset, 1);
  const message = await client.next((m) => m.type === 1);
  assert.ok(message.raw.subarray(4).equals(bytes));
  assert.equal((await call(server, 'publish', { channel: 'news', b64data: '*' })).json.error.code, 107);
});

test('errors of a call are in a 200, with their code', async (t) => {
  const server = await start(t);
  const cases = [['publish', { data: 1 }, 107], ['publish', { channel: 'news' }, 107], ['publish', { channel: '', data: 1 }, 107],
    ['publish', { channel: 5, data: 1 }, 107], ['publish', { channel: 'other:x', data: 1 }, 102], ['publish', { channel: 'a b', data: 1 }, 107],
    ['history', { channel: 'other:x' }, 102], ['history', { channel: 'plain:x' }, 108], ['history', {}, 107],
    ['history', { channel: 'news', limit: 'x' }, 107], ['presence', { channel: 'news' }, 108], ['presence_stats', { channel: 'other:x' }, 102],
    ['broadcast', { channels: [], data: 1 }, 107], ['broadcast', { channels: 'news', data: 1 }, 107], ['broadcast', { channels: ['a'] }, 107]];
  for (const [method, body, code] of cases) {
    const reply = await call(server, method, body);
    assert.equal(reply.status, 200, `${method} ${JSON.stringify(body)}: ${reply.text}`);
    assert.equal(reply.json.error?.code, code, `${method} ${JSON.stringify(body)}: ${reply.text}`);
    assert.ok(reply.json.error.message.length > 0);
  }
});

test('transport error mode answers with HTTP statuses and the bare error', async (t) => {
  const server = await start(t);
  const headers = { ...key, 'X-Centrifugo-Error-Mode': 'transport' };
  for (const [method, body, status, code] of [['publish', { channel: 'other:x', data: 1 }, 404, 102], ['publish', { channel: 'news' }, 400, 107],
    ['history', { channel: 'news', limit: 1, since: { epoch: 'x', offset: 1 } }, 416, 112]]) {
    const reply = await call(server, method, body, headers);
    assert.deepEqual([reply.status, reply.json.code], [status, code], reply.text);
  }
  assert.equal((await call(server, 'publish', { channel: 'news', data: 1 }, headers)).json.result.offset, 1);
});

test('broadcast answers for each channel in order', async (t) => {
  const server = await start(t);
  const client = await server.typed();
  for (const channel of ['a', 'b']) await client.subscribe(channel);
  const { json } = await call(server, 'broadcast', { channels: ['a', 'other:x', 'b', 'plain:p'], data: { n: 1 } });
  assert.equal(json.result.responses.length, 4);
  assert.equal(json.result.responses[0].result.offset, 1);
  assert.equal(json.result.responses[1].error.code, 102);
  assert.equal(json.result.responses[2].result.offset, 1);
  assert.ok(json.result.responses[3].result);
  for (const channel of ['a', 'b']) assert.deepEqual((await client.publications(channel, 1))[0].payload, { n: 1 });
});

test('history: limit, since, reverse', async (t) => {
  const server = await start(t);
  for (let n = 1; n <= 12; n++) await server.api('publish', { channel: 'news', data: { n } });
  const history = async (body) => (await server.api('history', { channel: 'news', ...body }));
  const list = async (body) => (await history(body)).publications.map((p) => p.data.n);
  const top = await history({});
  assert.deepEqual([top.publications, top.offset], [[], 12]);
  assert.deepEqual(await list({ limit: -1 }), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.deepEqual(await list({ limit: 2 }), [3, 4]);
  const since = (offset, epoch = top.epoch) => ({ since: { offset, epoch } });
  assert.deepEqual(await list({ limit: 3, ...since(6) }), [7, 8, 9]);
  assert.deepEqual(await list({ limit: -1, ...since(12) }), []);
  assert.deepEqual(await list({ limit: 3, reverse: true }), [12, 11, 10]);
  assert.deepEqual(await list({ limit: 2, reverse: true, ...since(8) }), [7, 6]);
  await assert.rejects(history({ limit: 1, ...since(5, 'other') }), { code: 112 });
  const { publications } = await history({ limit: 1 });
  assert.equal(publications[0].offset, 3);
});

test('history_remove empties the history and keeps the position', async (t) => {
  const server = await start(t);
  for (let n = 1; n <= 3; n++) await server.api('publish', { channel: 'news', data: { n } });
  const before = await server.api('history', { channel: 'news' });
  assert.deepEqual(await server.api('history_remove', { channel: 'news' }), {});
  const after = await server.api('history', { channel: 'news', limit: -1 });
  assert.deepEqual(after, { publications: [], epoch: before.epoch, offset: 3 });
  assert.equal((await server.api('publish', { channel: 'news', data: 4 })).offset, 4);
});

test('an idempotency key repeats the first result', async (t) => {
  const server = await start(t);
  const publish = (n, k) => server.api('publish', { channel: 'news', data: n, idempotency_key: k });
  const first = await publish(1, 'k');
  assert.deepEqual(await publish(2, 'k'), first);
  assert.equal((await publish(3, 'other')).offset, first.offset + 1);
  const both = await Promise.all(Array.from({ length: 10 }, () => publish(4, 'at once')));
  assert.equal(new Set(both.map((r) => r.offset)).size, 1);
});

test('channels counts subscribers and takes a pattern; info tells about the node', async (t) => {
  const server = await start(t);
  const clients = [await server.typed(), await server.typed()];
  for (const client of clients) await client.subscribe('a-1');
  await clients[0].subscribe('b-1');
  assert.deepEqual((await server.api('channels')).channels, { 'a-1': { num_clients: 2 }, 'b-1': { num_clients: 1 } });
  assert.deepEqual((await server.api('channels', { pattern: 'a*' })).channels, { 'a-1': { num_clients: 2 } });
  assert.deepEqual((await server.api('channels', { pattern: 'nothing' })).channels, {});
  const { nodes } = await server.api('info');
  assert.equal(nodes.length, 1);
  assert.ok(nodes[0].uid && nodes[0].name && nodes[0].version);
  assert.equal(nodes[0].num_clients, 2);
  assert.equal(nodes[0].num_subs, 3);
  await clients[1].end();
  assert.deepEqual((await server.api('channels', { pattern: 'a*' })).channels, { 'a-1': { num_clients: 1 } });
});

test('presence by client id, and its counts', async (t) => {
  const server = await start(t);
  assert.deepEqual(await server.api('presence', { channel: 'here:a' }), { presence: {} });
  assert.deepEqual(await server.api('presence_stats', { channel: 'here:a' }), { num_clients: 0, num_users: 0 });
  const clients = [await server.typed(), await server.typed()];
  for (const client of clients) await client.subscribe('here:a');
  const { presence } = await server.api('presence', { channel: 'here:a' });
  assert.equal(Object.keys(presence).length, 2);
  for (const [id, info] of Object.entries(presence)) assert.deepEqual([info.client, info.user], [id, '']);
  assert.deepEqual(await server.api('presence_stats', { channel: 'here:a' }), { num_clients: 2, num_users: 1 });
});

test('disconnect closes the sessions of a user, with the code that is asked for', async (t) => {
  const server = await start(t);
  const client = await server.typed();
  assert.deepEqual(await server.api('disconnect', { user: 'nobody' }), {});
  assert.deepEqual(await server.api('disconnect', { user: '', disconnect: { code: 4100, reason: 'go' } }), {});
  assert.deepEqual(await client.closed, { code: 4100, reason: 'go' });
  const other = await server.typed();
  await server.api('disconnect', { user: '' });
  assert.equal((await other.closed).code, 3503);
});

test('batch runs several commands and answers in order', async (t) => {
  const server = await start(t);
  const reply = await call(server, 'batch', { commands: [{ publish: { channel: 'news', data: 1 } }, { publish: { channel: 'other:x', data: 1 } },
    { nothing: {} }, { history: { channel: 'news', limit: -1 } }] });
  assert.equal(reply.status, 200);
  assert.equal(reply.json.replies.length, 4);
  assert.equal(reply.json.replies[0].publish.offset, 1);
  assert.equal(reply.json.replies[1].error.code, 102);
  assert.equal(reply.json.replies[2].error.code, 104);
  assert.ok(Array.isArray(reply.json.replies[3].history.publications));
});

test('a kept connection takes one call after the other, pipelined too', async (t) => {
  const server = await start(t);
  const socket = await server.raw();
  const body = JSON.stringify({ channel: 'news', data: 1 });
  const one = `POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  socket.send(one.repeat(5));
  for (let i = 1; i <= 5; i++) {
    const { status, headers } = await socket.readHead();
    assert.equal(status, 200);
    const reply = JSON.parse((await socket.read(Number(headers['content-length']))).toString());
    assert.equal(reply.result.offset, i);
  }
});
