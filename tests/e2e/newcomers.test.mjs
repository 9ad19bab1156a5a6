// Many connections at once: what they send waits for its turn, and nothing of it is lost, doubled or forgotten.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';
import WebSocket from 'ws';
import { API_KEY, sleep, slowness, startCrier, until } from '../lib/crier.mjs';

const COUNT = slowness > 1 ? 100 : 400;
const limits = { connections_per_address: 0, handshakes_per_second: 0, rate_messages: 0 };
const namespace = [{ name: 'bare', publish: true, history: 2000 }];
const start = (t, more = {}) => startCrier({ t, config: { server: { loops: 1 }, limits: { ...limits, ...more }, namespace } });
const range = (count) => Array.from({ length: count }, (_, i) => i);
const history = async (server) => (await server.api('history', { channel: 'bare:t', limit: -1 })).publications.map((p) => p.data);

test('a request whose sender has gone before its turn came is done all the same', async (t) => {
  const server = await start(t);
  await Promise.all(range(COUNT).map(async (n) => {
    const body = JSON.stringify({ channel: 'bare:t', data: n });
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.resume().on('error', () => {});
    socket.write(`POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    if (n % 2) socket.resetAndDestroy();
    else socket.end();
  }));
  await until(async () => (await history(server)).length >= COUNT, 'all publications');
  await sleep(100);
  assert.deepEqual((await history(server)).sort((a, b) => a - b), range(COUNT), 'each once');
  assert.equal((await server.metrics()).value('crier_newcomers_waiting'), 0);
});

test('requests in one piece and in pieces keep their order on a connection, and are all answered', async (t) => {
  const server = await start(t);
  const request = (body) => `POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const requests = (n, from, to) => range(to - from).map((i) => request(JSON.stringify({ channel: `bare:${n}`, data: from + i }))).join('');
  await Promise.all(range(100).map(async (n) => {
    const socket = connect(server.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => { text += data; });
    await once(socket, 'connect');
    const second = requests(n, 5, 10), cut = 1 + 5 * n;
    socket.write(requests(n, 0, 5) + second.slice(0, cut));
    if (n % 2) await sleep(1);
    socket.write(second.slice(cut));
    await until(() => text.split('HTTP/1.1 200 OK').length === 11, () => `10 answers, not ${text.slice(0, 400)}`);
    socket.destroy();
    const { publications } = await server.api('history', { channel: `bare:${n}`, limit: -1 });
    assert.deepEqual(publications.map((p) => p.data), range(10));
  }));
});

test('a message larger than what is held for a newcomer arrives whole', async (t) => {
  const server = await start(t);
  const data = 'x'.repeat(300000);
  await Promise.all(range(20).map((n) => server.request('POST', '/api/publish', { headers: { 'X-API-Key': API_KEY }, json: { channel: 'bare:t', data: { n, data } } })));
  const all = await history(server);
  assert.deepEqual(all.map((d) => d.n).sort((a, b) => a - b), range(20));
  assert.ok(all.every((d) => d.data === data));
});

for (const percent of [1, 50, 100]) test(`a herd of sessions comes in with ${percent} % of the time while one that is there gets every message in order`, async (t) => {
  const server = await start(t, { newcomer_percent: percent });
  const steady = await server.typed();
  await steady.subscribe('bare:t');
  await sleep(1100); // no newcomer itself any more
  const herd = range(COUNT).map(() => new WebSocket(`${server.wsUrl}/connection/websocket`));
  t.after(() => herd.forEach((socket) => socket.terminate()));
  const welcomed = herd.map(async (socket) => {
    await once(socket, 'open');
    socket.send('{"id":1,"connect":{}}');
    const [answer] = await once(socket, 'message');
    return JSON.parse(answer).id;
  });
  for (const n of range(50)) await server.api('publish', { channel: 'bare:t', data: n });
  assert.deepEqual(await Promise.all(welcomed), range(COUNT).map(() => 1));
  assert.deepEqual((await steady.publications('bare:t', 50)).map((p) => p.payload), range(50));
});
