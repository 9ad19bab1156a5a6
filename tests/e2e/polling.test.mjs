// GET and POST /channels/NAME: plain polling, long polling, publishing by HTTP.
import assert from 'node:assert/strict';
import test from 'node:test';
import { API_KEY, sleep, startCrier, until } from '../lib/crier.mjs';

const start = (t, namespace = {}, more = {}) => startCrier({ t, config: { namespace: [{ name: 'default', publish: true, history: 100, ...namespace }], ...more } });
const publish = (server, n) => server.api('publish', { channel: 'news', data: { n } });
const numbers = (reply) => reply.json.publications.map((p) => p.data.n);
const since = ({ json }) => `since=${json.epoch}:${json.offset}`;

test('without since the newest publications come, with a position to go on from', async (t) => {
  const server = await start(t);
  const empty = await server.get('/channels/news');
  assert.equal(empty.status, 200);
  assert.deepEqual(empty.json.publications, []);
  for (let n = 1; n <= 5; n++) await publish(server, n);
  const reply = await server.get('/channels/news');
  assert.deepEqual(numbers(reply), [1, 2, 3, 4, 5]);
  assert.equal(reply.json.offset, 5);
  assert.equal(reply.json.channel, 'news');
  assert.equal(reply.json.recovered, undefined);
  assert.deepEqual(numbers(await server.get('/channels/news?limit=2')), [4, 5]);
});

test('polling with since gives each publication once, whatever the limit', async (t) => {
  const server = await start(t);
  let reply = await server.get('/channels/news');
  const seen = [];
  for (let n = 1; n <= 23; n++) {
    await publish(server, n);
    if (n % 7 === 0 || n === 23) {
      do {
        reply = await server.get(`/channels/news?limit=3&${since(reply)}`);
        assert.equal(reply.json.recovered, true);
        seen.push(...numbers(reply));
      } while (reply.json.publications.length);
    }
  }
  assert.deepEqual(seen, Array.from({ length: 23 }, (_, i) => i + 1));
});

test('a position that cannot be continued says recovered: false', async (t) => {
  const server = await start(t, { history: 3 });
  for (let n = 1; n <= 10; n++) await publish(server, n);
  const { json } = await server.get('/channels/news');
  for (const position of [`${json.epoch}:2`, `other:9`, `${json.epoch}:99`]) {
    const reply = await server.get(`/channels/news?since=${position}`);
    assert.equal(reply.json.recovered, false, position);
    assert.deepEqual([reply.json.epoch, reply.json.offset], [json.epoch, 10]);
  }
  const edge = await server.get(`/channels/news?since=${json.epoch}:7`);
  assert.deepEqual([edge.json.recovered, numbers(edge)], [true, [8, 9, 10]]);
});

test('ETag and If-None-Match: 304 while nothing is new', async (t) => {
  const server = await start(t);
  await publish(server, 1);
  const first = await server.get('/channels/news');
  const etag = first.headers.etag;
  assert.match(etag, /^(W\/)?".+"$/);
  const again = await server.get('/channels/news', { headers: { 'If-None-Match': etag } });
  assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag]);
  await publish(server, 2);
  const news = await server.get('/channels/news', { headers: { 'If-None-Match': etag } });
  assert.equal(news.status, 200);
  assert.notEqual(news.headers.etag, etag);
});

test('a long poll is answered by the next publication', async (t) => {
  const server = await start(t);
  await publish(server, 1);
  const position = since(await server.get('/channels/news'));
  const waiting = Array.from({ length: 20 }, () => server.get(`/channels/news?wait=60&${position}`));
  await sleep(300);
  await publish(server, 2);
  for (const reply of await Promise.all(waiting)) assert.deepEqual([reply.json.recovered, numbers(reply)], [true, [2]]);
});

test('a long poll with something to give is answered at once', async (t) => {
  const server = await start(t);
  const position = since(await server.get('/channels/news'));
  await publish(server, 1);
  const reply = await server.get(`/channels/news?wait=60&${position}`);
  assert.deepEqual(numbers(reply), [1]);
});

test('a long poll ends empty after its time, bounded by poll_wait_ms', async (t) => {
  const server = await start(t, {}, { limits: { poll_wait_ms: '2s' } });
  const position = since(await server.get('/channels/news'));
  const short = await server.get(`/channels/news?wait=1&${position}`);
  assert.deepEqual(short.json.publications, []);
  const bounded = await server.get(`/channels/news?wait=60&${position}`);
  assert.ok(bounded.duration > 1900 && bounded.duration < 15000, `${bounded.duration} ms`);
  assert.ok(short.duration > 900 && short.duration < bounded.duration, `${short.duration} ms`);
  const etag = (await server.get('/channels/news')).headers.etag;
  assert.equal((await server.get(`/channels/news?wait=1&${position}`, { headers: { 'If-None-Match': etag } })).status, 304);
});

test('long polls whose client goes away leave nothing behind', async (t) => {
  const server = await start(t);
  const position = since(await server.get('/channels/news'));
  for (let i = 0; i < 50; i++) {
    const socket = await server.raw();
    socket.send(`GET /channels/news?wait=30&${position} HTTP/1.1\r\nHost: a\r\n\r\n`);
    if (i % 2) await sleep(5);
    socket.terminate();
  }
  await publish(server, 1);
  assert.deepEqual(numbers(await server.get(`/channels/news?${position}`)), [1]);
  await until(async () => (await server.metrics()).value('crier_connections') === 1, 'only the connection that asks is left');
});

test('parameters that are wrong get 400 with code and message', async (t) => {
  const server = await start(t);
  for (const query of ['since=5', 'since=a', 'since=a:b', 'since=:', 'limit=0', 'limit=-1', 'limit=x', 'wait=-1', 'wait=x', 'since=%zz',
    `since=${'x'.repeat(500)}:1`, 'since=a:99999999999999999999']) {
    const reply = await server.get(`/channels/news?${query}`);
    assert.equal(reply.status, 400, query);
    assert.equal(reply.json.error.code, 107, query);
    assert.ok(reply.json.error.message);
  }
  assert.equal((await server.get('/channels/other:x')).status, 404);
  assert.equal((await server.get('/channels/a%20b')).status, 400);
  assert.ok([400, 404].includes((await server.get('/channels/')).status));
});

test('a namespace with rest = false asks for the API key', async (t) => {
  const server = await start(t, { rest: false });
  assert.equal((await server.get('/channels/news')).status, 403);
  assert.equal((await server.get('/channels/news', { headers: { 'X-API-Key': API_KEY } })).status, 200);
  assert.equal((await server.request('POST', '/channels/news', { json: 1 })).status, 403);
});

test('POST publishes where clients may, and answers with the position', async (t) => {
  const server = await start(t);
  const client = await server.typed();
  await client.subscribe('news');
  const reply = await server.request('POST', '/channels/news', { json: { a: 1 } });
  assert.equal(reply.status, 200);
  assert.equal(reply.json.offset, 1);
  assert.deepEqual((await client.publications('news', 1))[0].payload, { a: 1 });
  const twice = { json: 2, headers: { 'Idempotency-Key': 'x' } };
  assert.equal((await server.request('POST', '/channels/news', twice)).json.offset, 2);
  assert.equal((await server.request('POST', '/channels/news', twice)).json.offset, 2);
});

test('POST refuses what a form of another site could send, broken JSON, and namespaces without publish', async (t) => {
  const server = await startCrier({ t, config: { namespace: [{ name: 'default', publish: true }, { name: 'closed' }] } });
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
    assert.ok([400, 415].includes((await server.request('POST', '/channels/news', { body: '{}', headers: { 'Content-Type': type } })).status), type);
  assert.ok([400, 415].includes((await server.request('POST', '/channels/news', { body: '{}' })).status));
  for (const body of ['', '{', '1 2', '['.repeat(40) + ']'.repeat(40)])
    assert.equal((await server.request('POST', '/channels/news', { body, headers: { 'Content-Type': 'application/json' } })).status, 400, body);
  assert.equal((await server.request('POST', '/channels/closed:x', { json: 1 })).status, 403);
  assert.equal((await server.request('DELETE', '/channels/news')).status, 405);
});

test('polls read what sessions get: keys, times, positions', async (t) => {
  const server = await start(t);
  const before = Date.now();
  await server.api('publish', { channel: 'news', data: 'text "quoted"', key: 'k' });
  const [publication] = (await server.get('/channels/news')).json.publications;
  assert.deepEqual([publication.offset, publication.key, publication.data], [1, 'k', 'text "quoted"']);
  assert.ok(publication.time >= before - 1000 && publication.time <= Date.now() + 1000);
});

test('a keyed channel gives its table', async (t) => {
  const server = await start(t, { keyed: true });
  for (const [k, v] of [['a', 1], ['b', 1], ['a', 2]]) await server.api('publish', { channel: 'news', key: k, data: { k, v } });
  const { json } = await server.get('/channels/news');
  assert.deepEqual(json.publications.map((p) => [p.key, p.data.v]), [['b', 1], ['a', 2]]);
});

test('HEAD is GET without the body; replies are one write with a length', async (t) => {
  const server = await start(t);
  await publish(server, 1);
  const head = await server.request('HEAD', '/channels/news');
  const get = await server.get('/channels/news');
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  assert.equal(head.headers['content-length'], get.headers['content-length']);
  assert.equal(Number(get.headers['content-length']), get.body.length);
});
