// Cross-origin requests: an exact allow-list, nothing for anybody else.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier } from '../lib/crier.mjs';

const config = { auth: { allowed_origins: ['https://good.example', 'http://localhost:3000'] } };
const preflight = (server, path, origin, method = 'POST') => server.request('OPTIONS', path, { headers: { Origin: origin,
  'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'content-type' } });
const granted = (reply) => Object.keys(reply.headers).filter((name) => name.startsWith('access-control-allow'));

test('a listed origin gets its preflight, cached', async (t) => {
  const server = await startCrier({ t, config });
  for (const origin of config.auth.allowed_origins) {
    const reply = await preflight(server, '/channels/news', origin);
    assert.ok([200, 204].includes(reply.status));
    assert.equal(reply.headers['access-control-allow-origin'], origin);
    assert.match(reply.headers['access-control-allow-methods'], /POST/);
    assert.match(reply.headers['access-control-allow-headers'], /content-type/i);
    assert.ok(Number(reply.headers['access-control-max-age']) > 0);
    assert.match(reply.headers.vary, /origin/i);
  }
});

test('an origin that is not listed gets no Access-Control-Allow header at all', async (t) => {
  const server = await startCrier({ t, config });
  for (const origin of ['https://bad.example', 'https://good.example.evil.test', 'http://good.example', 'https://good.example:444', 'null']) {
    assert.deepEqual(granted(await preflight(server, '/channels/news', origin)), [], origin);
    assert.deepEqual(granted(await server.get('/channels/news', { headers: { Origin: origin } })), [], origin);
  }
});

test('answers to a listed origin carry it, and vary by origin', async (t) => {
  const server = await startCrier({ t, config });
  const reply = await server.get('/channels/news', { headers: { Origin: 'https://good.example' } });
  assert.equal(reply.headers['access-control-allow-origin'], 'https://good.example');
  assert.match(reply.headers.vary, /origin/i);
  const plain = await server.get('/channels/news');
  assert.match(plain.headers.vary ?? '', /origin/i, 'a cache may hand this to other origins');
  const failed = await server.get('/channels/other:x', { headers: { Origin: 'https://good.example' } });
  assert.equal(failed.headers['access-control-allow-origin'], 'https://good.example', 'errors have to be readable, too');
});

test('nothing is ever allowed to every origin, and the server API to none', async (t) => {
  const server = await startCrier({ t, config });
  for (const path of ['/api/publish', '/metrics', '/healthz'])
    assert.deepEqual(granted(await preflight(server, path, 'https://good.example')), [], path);
  const reply = await server.get('/channels/news', { headers: { Origin: 'https://good.example' } });
  assert.notEqual(reply.headers['access-control-allow-origin'], '*');
});
