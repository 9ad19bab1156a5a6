// The WebSocket handshake: what is let in, and what is refused before 101.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import test from 'node:test';
import { SECRET, startCrier } from '../lib/crier.mjs';
import { acceptOf, frame, handshake } from '../lib/raw.mjs';

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function token(claims, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const signed = `${base64url(header)}.${base64url(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

/** Sends a request head as it is and gives the head of the reply. */
async function ask(server, text) {
  const socket = await server.raw();
  socket.send(text);
  const head = await socket.readHead();
  socket.terminate();
  return head;
}

const askWith = (server, headers, options) => ask(server, handshake('/ws', headers, options));

test('a valid upgrade gets 101 with the right accept key and no extension that was not offered', async (t) => {
  const server = await startCrier({ t });
  const { status, headers } = await askWith(server, {});
  assert.equal(status, 101);
  assert.equal(headers['sec-websocket-accept'], acceptOf('dGhlIHNhbXBsZSBub25jZQ=='));
  assert.equal(headers.upgrade.toLowerCase(), 'websocket');
  assert.equal(headers.connection.toLowerCase(), 'upgrade');
  assert.equal(headers['sec-websocket-extensions'], undefined);
  assert.equal(headers['sec-websocket-protocol'], undefined);
});

test('another version than 13 gets 426 that names 13', async (t) => {
  const server = await startCrier({ t });
  for (const version of ['8', '0', '14', '13, 8', undefined]) {
    const { status, headers } = await askWith(server, { 'Sec-WebSocket-Version': version });
    assert.equal(status, 426, `version ${version}`);
    assert.equal(headers['sec-websocket-version'], '13');
  }
});

test('only GET and HTTP/1.1 upgrade', async (t) => {
  const server = await startCrier({ t });
  for (const method of ['POST', 'PUT', 'HEAD', 'OPTIONS'])
    assert.notEqual((await askWith(server, { 'Content-Length': '0' }, { method })).status, 101, method);
  assert.equal((await askWith(server, { 'Content-Length': '0' }, { method: 'POST' })).status, 405);
  const old = await askWith(server, {}, { version: 'HTTP/1.0' });
  assert.ok(old.status >= 400 && old.status < 500, `HTTP/1.0 got ${old.status}`);
});

test('a key that is not base64 of 16 bytes gets 400', async (t) => {
  const server = await startCrier({ t });
  const bad = { missing: undefined, 'of 15 bytes': Buffer.alloc(15).toString('base64'), 'of 17 bytes': Buffer.alloc(17).toString('base64'),
    'not base64': '****************????????', empty: '', twice: ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ=='] };
  for (const [what, key] of Object.entries(bad))
    assert.equal((await askWith(server, { 'Sec-WebSocket-Key': key })).status, 400, `key ${what}`);
});

test('Connection is a list of tokens, in any case', async (t) => {
  const server = await startCrier({ t });
  for (const value of ['keep-alive, Upgrade', 'keep-alive,upgrade', ' Upgrade ', 'UPGRADE'])
    assert.equal((await askWith(server, { Connection: value })).status, 101, value);
  for (const value of ['keep-alive', 'upgraded', 'x-upgrade', undefined])
    assert.equal((await askWith(server, { Connection: value })).status, 400, String(value));
  assert.equal((await askWith(server, { Upgrade: 'WebSocket' })).status, 101);
});

test('two Host headers, none, and folded headers get 400', async (t) => {
  const server = await startCrier({ t });
  assert.equal((await askWith(server, { Host: ['a', 'b'] })).status, 400);
  assert.equal((await askWith(server, { Host: undefined })).status, 400);
  assert.equal((await askWith(server, { 'X-Folded': 'one\r\n two' })).status, 400);
  assert.equal((await askWith(server, { 'X Space': 'a' })).status, 400);
  assert.equal((await ask(server, 'GET /ws HTTP/1.1\r\nHost : a\r\n\r\n')).status, 400);
});

test('a head over header_bytes gets 431 and is not kept', async (t) => {
  const server = await startCrier({ t });
  assert.equal((await askWith(server, { 'X-Long': 'x'.repeat(9 * 1024) })).status, 431);
  const socket = await server.raw();
  socket.send('GET /ws HTTP/1.1\r\nHost: a\r\nX-Endless: ');
  socket.send('x'.repeat(9 * 1024)); // the line does not even end
  assert.equal((await socket.readHead()).status, 431);
  await socket.closed();
});

test('an origin that is not listed gets 403 before 101 and is counted', async (t) => {
  const server = await startCrier({ t, config: { auth: { allowed_origins: ['https://good.example'] } } });
  const before = (await server.metrics()).value('crier_handshakes_refused_total');
  for (const origin of ['https://bad.example', 'https://good.example.evil.test', 'http://good.example', 'https://good.example:8443',
    'https://evilgood.example', 'null', '', 'https://GOOD.example.', 'https://good.example/'])
    assert.equal((await askWith(server, { Origin: origin })).status, 403, `origin ${origin}`);
  const refused = (await server.metrics()).value('crier_handshakes_refused_total') - before;
  assert.equal(refused, 9);
  assert.equal((await askWith(server, { Origin: 'https://good.example' })).status, 101);
});

test('pages of the server itself and clients without an origin are let in', async (t) => {
  const server = await startCrier({ t });
  const host = `127.0.0.1:${server.port}`;
  assert.equal((await askWith(server, { Host: host, Origin: `http://${host}` })).status, 101);
  assert.equal((await askWith(server, { Host: host, Origin: `http://127.0.0.1:${server.port + 1}` })).status, 403);
  assert.equal((await askWith(server, { Host: host, Origin: undefined })).status, 101);
});

test('a bearer token is enough without an origin and names the user', async (t) => {
  const server = await startCrier({ t, config: { auth: { anonymous: false }, namespace: [{ name: 'default', anonymous: false, presence: true }] } });
  const bearer = `Bearer ${token({ sub: 'ada', exp: inAnHour() })}`;
  assert.equal((await askWith(server, {})).status, 401);
  assert.equal((await askWith(server, { Authorization: bearer })).status, 101);
  const client = await server.typed({ headers: { Authorization: bearer } });
  await client.subscribe('news');
  const { payload } = await client.request(0xfffffff5, { channel: 'news' });
  assert.deepEqual(payload.presence.map((p) => p.user), ['ada']);
});

test('every bad token gets the same 401', async (t) => {
  const server = await startCrier({ t, config: { auth: { anonymous: true } } });
  const good = token({ sub: 'ada', exp: inAnHour() });
  const bad = {
    expired: token({ sub: 'ada', exp: 1000 }),
    'not yet valid': token({ sub: 'ada', exp: inAnHour(), nbf: inAnHour() }),
    'signed with another secret': token({ sub: 'ada', exp: inAnHour() }, { secret: 'x'.repeat(40) }),
    'alg none': `${base64url({ alg: 'none' })}.${base64url({ sub: 'ada', exp: inAnHour() })}.`,
    'alg none with a signature': token({ sub: 'ada' }, { header: { alg: 'none' } }),
    'an asymmetric algorithm': token({ sub: 'ada' }, { header: { alg: 'RS256', typ: 'JWT' } }),
    'cut off': good.slice(0, -10),
    'not a token': 'a.b.c',
    'changed claims': `${good.split('.')[0]}.${base64url({ sub: 'root', exp: inAnHour() })}.${good.split('.')[2]}`,
  };
  const answers = new Set();
  for (const [what, value] of Object.entries(bad)) {
    const reply = await server.get('/ws', { headers: { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', Authorization: `Bearer ${value}` } });
    assert.equal(reply.status, 401, what);
    answers.add(reply.text);
  }
  assert.equal(answers.size, 1, `the text tells what was wrong: ${[...answers]}`);
  assert.ok(!server.logs().includes(good.split('.')[2]), 'a signature is in the log');
});

test('a subprotocol is answered only when the server knows it; a token among them is known', async (t) => {
  const server = await startCrier({ t });
  assert.equal((await askWith(server, { 'Sec-WebSocket-Protocol': 'a, b' })).headers['sec-websocket-protocol'], undefined);
  const good = token({ sub: 'ada', exp: inAnHour() });
  const { status, headers } = await askWith(server, { 'Sec-WebSocket-Protocol': `a, ${good}` });
  assert.equal(status, 101);
  assert.equal(headers['sec-websocket-protocol'], good);
});

test('frames that come right behind the handshake are not lost', async (t) => {
  const server = await startCrier({ t });
  const socket = await server.raw();
  socket.send(Buffer.concat([Buffer.from(handshake('/ws')), frame({ opcode: 9, payload: 'early' })]));
  assert.equal((await socket.readHead()).status, 101);
  await socket.expect(Buffer.concat([Buffer.from([0x8a, 5]), Buffer.from('early')]));
});

test('over handshakes_per_second upgrades get 503 with Retry-After, later ones get in', async (t) => {
  const server = await startCrier({ t, config: { limits: { handshakes_per_second: 5 } } });
  const heads = await Promise.all(Array.from({ length: 30 }, () => askWith(server, {})));
  const refused = heads.filter((h) => h.status === 503);
  assert.ok(refused.length >= 10, `${refused.length} of 30 refused`);
  assert.ok(refused.every((h) => Number(h.headers['retry-after']) > 0));
  await new Promise((done) => setTimeout(done, 1100));
  assert.equal((await askWith(server, {})).status, 101);
});
