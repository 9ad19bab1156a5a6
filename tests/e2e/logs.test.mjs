// Logs: one line an event, client data escaped, never a token or payload.
import assert from 'node:assert/strict';
import test from 'node:test';
import { API_KEY, SECRET, startCrier } from '../lib/crier.mjs';
import { handshake } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

const PAYLOAD = 'payload-that-nobody-logs';
const TOKEN = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.signature-that-nobody-logs';

/** Everything a client can choose, with line breaks and escape sequences in it. */
async function misbehave(server) {
  const evil = 'evil\\r\\n2026-01-01T00:00:00Z error forged=1 \\u001b[31m';
  const client = await server.typed();
  client.ws.send(`{"type":${TYPE.subscribe},"id":"${evil}","payload":{"channel":"${evil}"}}`);
  await client.next();
  client.ws.send(`{"type":${TYPE.publish},"id":"1","payload":{"channel":"nowhere:x","data":"${PAYLOAD}"}}`);
  await client.next();
  client.ws.send(`{"type":1,"payload":"${PAYLOAD}`);
  await client.next();
  await client.end(4000);
  for (const head of [handshake(`/ws?token=${TOKEN}`), handshake('/ws', { Authorization: `Bearer ${TOKEN}`, Origin: 'http://evil.example/\u001b[31m' }),
    `GET /\u001b[31m\u0007 HTTP/1.1\r\nHost: a\r\n\r\n`, `GET /nothing/${PAYLOAD}?api_key=${API_KEY} HTTP/1.1\r\nHost: a\r\n\r\n`,
    `POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: ${API_KEY}x\r\nContent-Length: 2\r\n\r\n{}`]) {
    const socket = await server.raw();
    socket.send(head);
    await socket.readHead();
    socket.terminate();
  }
  await server.request('POST', '/api/publish', { json: { channel: 'nowhere:x', data: PAYLOAD }, headers: { 'X-API-Key': API_KEY } });
}

function check(text) {
  for (const secret of [API_KEY, SECRET, PAYLOAD, 'signature-that-nobody-logs', 'eyJzdWIi']) assert.ok(!text.includes(secret), `the log has ${secret}`);
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/, 'a control character is in the log');
  assert.doesNotMatch(text, /^2026-01-01/m, 'a client forged a line');
}

test('text format: one line an event, nothing forged, nothing secret', async (t) => {
  const server = await startCrier({ t });
  await misbehave(server);
  await server.stop();
  check(server.logs());
  const lines = server.logs().trimEnd().split('\n');
  assert.ok(lines.length > 3);
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (debug|info|warn|error) /);
});

test('json format: every line is one object with time, level and message', async (t) => {
  const server = await startCrier({ t, config: { log: { level: 'debug', format: 'json' } } });
  await misbehave(server);
  await server.stop();
  check(server.logs());
  for (const line of server.logs().trimEnd().split('\n')) {
    const entry = JSON.parse(line);
    assert.ok(!Number.isNaN(Date.parse(entry.time)), line);
    assert.match(entry.level, /^(debug|info|warn|error)$/);
    assert.ok((entry.msg ?? entry.message ?? entry.event).length > 0, line);
  }
});

test('the level holds back what is less important', async (t) => {
  const server = await startCrier({ t, config: { log: { level: 'error' } } });
  await misbehave(server);
  await server.stop();
  assert.equal(server.logs(), '');
});

test('what is never for production is said loudly', async (t) => {
  const server = await startCrier({ t, config: { debug: { echo: true, insecure: true }, log: { level: 'warn' } } });
  await server.stop();
  assert.match(server.logs(), /warn .*echo/);
  assert.match(server.logs(), /warn .*insecure/);
});
