// Static front ends: types, caching, compression, and no way out of the folder.
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { sleep, startCrier } from '../lib/crier.mjs';

const page = `<!doctype html><title>page</title>${'<p>text</p>'.repeat(200)}`;

async function start(t, sections = {}) {
  const server = await startCrier({ t, start: false });
  const web = join(server.dir, 'web');
  mkdirSync(join(web, 'sub'), { recursive: true });
  writeFileSync(join(web, 'index.html'), page);
  writeFileSync(join(web, 'sub', 'index.html'), '<!doctype html>sub');
  writeFileSync(join(web, 'app.js'), 'export const a = 1;');
  writeFileSync(join(web, 'style.css'), 'body {}');
  writeFileSync(join(web, 'data.json'), '{}');
  writeFileSync(join(web, 'image.png'), Buffer.alloc(2000));
  writeFileSync(join(web, 'unknown.xyz'), 'x');
  writeFileSync(join(web, 'ümlaut %.txt'), 'name');
  writeFileSync(join(web, '.hidden'), 'hidden');
  writeFileSync(join(server.dir, 'secret.txt'), 'secret of the server');
  symlinkSync('../secret.txt', join(web, 'link.txt'));
  symlinkSync('/etc/passwd', join(web, 'passwd'));
  symlinkSync('..', join(web, 'up'));
  server.config = { server: { web, ...sections.server } };
  return server.start();
}

/** Path as it stands: no client tidies it up. */
async function rawGet(server, path) {
  const socket = await server.raw();
  socket.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const { status } = await socket.readHead();
  await socket.closed();
  return { status, text: socket.received.toString() };
}

test('files have the right type and cannot be sniffed', async (t) => {
  const server = await start(t);
  const types = { '/': 'text/html; charset=utf-8', '/index.html': 'text/html; charset=utf-8', '/sub/': 'text/html; charset=utf-8',
    '/app.js': 'text/javascript; charset=utf-8', '/style.css': 'text/css; charset=utf-8', '/data.json': 'application/json',
    '/image.png': 'image/png', '/unknown.xyz': 'application/octet-stream', '/%C3%BCmlaut%20%25.txt': 'text/plain; charset=utf-8' };
  for (const [path, type] of Object.entries(types)) {
    const reply = await server.get(path);
    assert.deepEqual([reply.status, reply.headers['content-type']], [200, type], path);
    assert.equal(reply.headers['x-content-type-options'], 'nosniff', path);
  }
  assert.equal((await server.get('/')).text, page);
});

test('pages may load from other origins when the configuration names them', async (t) => {
  const server = await start(t, { server: { web_sources: ['https://tiles.example', 'http://localhost:3000'] } });
  const policy = (await server.get('/')).headers['content-security-policy'];
  for (const directive of ['connect-src', 'img-src']) assert.match(policy, new RegExp(`${directive} [^;]* https://tiles.example http://localhost:3000(;|$)`));
  assert.match(policy, /script-src 'self';/);
});

test('pages have a strict policy', async (t) => {
  const server = await start(t);
  const { headers } = await server.get('/');
  const policy = headers['content-security-policy'];
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|\*/);
  assert.equal(headers['referrer-policy'], 'no-referrer');
});

test('nothing outside of the folder is served, however the path is written', async (t) => {
  const server = await start(t);
  for (const path of ['/../secret.txt', '/../../etc/passwd', '/%2e%2e/secret.txt', '/%2e%2e%2fsecret.txt', '/..%2fsecret.txt', '/sub/../../secret.txt',
    '/%252e%252e/secret.txt', '/..%5csecret.txt', '/\\..\\secret.txt', '/..\\secret.txt', '/secret.txt%00.html', '/%00', '/index.html%00', '//etc/passwd',
    '/link.txt', '/passwd', '/up/secret.txt', '/./../secret.txt', '/sub/%2e%2e/%2e%2e/secret.txt', '/....//secret.txt', '/%c0%ae%c0%ae/secret.txt',
    'http://x/../secret.txt', '/.hidden', '/%zz', '/%2']) {
    const { status, text } = await rawGet(server, path);
    assert.ok([400, 403, 404].includes(status), `${path} got ${status}`);
    assert.doesNotMatch(text, /secret of|root:|hidden$/, path);
  }
});

test('folders are not listed and methods other than GET and HEAD are refused', async (t) => {
  const server = await start(t);
  assert.equal((await server.get('/nothing')).status, 404);
  const folder = await server.get('/sub');
  assert.ok([301, 302, 307, 308, 404, 200].includes(folder.status) && !/index of/i.test(folder.text));
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) assert.equal((await server.request(method, '/index.html')).status, 405, method);
  assert.equal((await server.request('HEAD', '/index.html')).text, '');
});

test('an unchanged file is 304, a changed one comes anew', async (t) => {
  const server = await start(t);
  const { etag } = (await server.get('/app.js')).headers;
  assert.ok(etag);
  const again = await server.get('/app.js', { headers: { 'If-None-Match': etag } });
  assert.deepEqual([again.status, again.text], [304, '']);
  assert.equal((await server.get('/app.js', { headers: { 'If-None-Match': `"other", ${etag}` } })).status, 304);
  writeFileSync(join(server.dir, 'web', 'app.js'), 'export const a = 22;');
  await sleep(1500);
  const changed = await server.get('/app.js', { headers: { 'If-None-Match': etag } });
  assert.deepEqual([changed.status, changed.text], [200, 'export const a = 22;']);
});

test('text is compressed for who takes it, images are not', async (t) => {
  const server = await start(t);
  const zipped = await server.get('/', { headers: { 'Accept-Encoding': 'br, gzip;q=0.8' } });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.match(zipped.headers.vary, /accept-encoding/i);
  assert.equal(gunzipSync(zipped.body).toString(), page);
  assert.ok(zipped.body.length < page.length / 2);
  const plain = await server.get('/', { headers: { 'Accept-Encoding': 'identity' } });
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.match(plain.headers.vary, /accept-encoding/i);
  assert.notEqual(plain.headers.etag, zipped.headers.etag, 'two encodings share an ETag');
  assert.equal((await server.get('/', { headers: { 'Accept-Encoding': 'gzip;q=0' } })).headers['content-encoding'], undefined);
  assert.equal((await server.get('/image.png', { headers: { 'Accept-Encoding': 'gzip' } })).headers['content-encoding'], undefined);
});
