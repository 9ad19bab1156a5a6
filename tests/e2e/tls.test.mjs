// TLS on the listener: another certificate by SIGHUP while connections live, a broken one that changes nothing, HSTS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import WebSocket from 'ws';
import { freePort, startCrier, until } from '../lib/crier.mjs';

/** Files cert.NAME and key.NAME; the certificate is named NAME. */
function makeCertificate(dir, name) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', join(dir, `key.${name}`), '-out', join(dir, `cert.${name}`), '-subj', `/CN=${name}`], { stdio: 'ignore' });
}

class Listener {
  static async start(t, more = {}) {
    const self = new Listener();
    self.server = await startCrier({ t, start: false });
    self.dir = self.server.dir;
    for (const name of ['first', 'second']) makeCertificate(self.dir, name);
    self.install('first');
    self.server.config = { debug: { insecure: true }, namespace: [{ name: 'default', publish: true }],
      server: { loops: 2, tls: { cert: self.path('cert'), key: self.path('key'), ...more } } };
    self.server.port = await freePort();
    self.server.spawn();
    await until(() => /crier ready at https/.test(self.server.stdout), 'ready over TLS', 20000);
    return self;
  }

  path(name) { return join(this.dir, `${name}.pem`); }

  install(name) {
    for (const kind of ['cert', 'key']) copyFileSync(join(this.dir, `${kind}.${name}`), this.path(kind));
  }

  /** Name in the certificate of a new handshake. */
  shown() {
    return new Promise((done, fail) => {
      const socket = tls.connect({ host: '127.0.0.1', port: this.server.port, rejectUnauthorized: false }, () => {
        done(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
      socket.on('error', fail);
    });
  }

  /** Of enough handshakes that both loops have their turn. */
  async shownByAll() {
    return [...new Set(await Promise.all(Array.from({ length: 24 }, () => this.shown())))];
  }

  async hangUp(said) {
    const from = this.server.stderr.length;
    this.server.child.kill('SIGHUP');
    await until(() => said.test(this.server.stderr.slice(from)), `${said} in the log`);
    return this.server.stderr.slice(from);
  }

  async open() {
    const socket = new WebSocket(`wss://127.0.0.1:${this.server.port}/ws`, { rejectUnauthorized: false });
    const messages = [];
    socket.on('message', (data) => messages.push(data.toString()));
    await new Promise((done, fail) => socket.on('open', done).on('error', fail));
    return { socket, messages };
  }
}

async function assertAlive({ socket }) {
  const pong = new Promise((done) => socket.once('pong', done));
  socket.ping();
  await pong;
  assert.equal(socket.readyState, WebSocket.OPEN);
}

test('SIGHUP: new handshakes get the new certificate, connections that are there live on', async (t) => {
  const listener = await Listener.start(t);
  assert.deepEqual(await listener.shownByAll(), ['first']);
  const old = await Promise.all(Array.from({ length: 8 }, () => listener.open()));
  listener.install('second');
  assert.deepEqual(await listener.shownByAll(), ['first'], 'nothing happens by itself');
  await listener.hangUp(/TLS certificate reloaded/);
  await until(async () => (await listener.shownByAll()).join() === 'second', 'the second certificate on all loops');
  for (const connection of old) await assertAlive(connection);
  await assertAlive(await listener.open());
  for (const { socket } of old) socket.terminate();
});

test('SIGHUP with a broken file keeps the old certificate and says why', async (t) => {
  const listener = await Listener.start(t);
  const old = await listener.open();
  const broken = [
    [() => writeFileSync(listener.path('cert'), 'no certificate\n'), /not reloaded.*cert\.pem: no start line/],
    [() => copyFileSync(join(listener.dir, 'cert.second'), listener.path('cert')), /not reloaded.*key\.pem: key values mismatch/],
    [() => writeFileSync(listener.path('key'), ''), /not reloaded.*key\.pem: /],
    [() => execFileSync('rm', [listener.path('cert')]), /not reloaded.*cert\.pem: No such file/],
  ];
  for (const [spoil, said] of broken) {
    listener.install('first');
    spoil();
    const log = await listener.hangUp(said);
    assert.match(log, /"?error"?/i, 'as an error');
    assert.deepEqual(await listener.shownByAll(), ['first']);
  }
  await assertAlive(old);
  listener.install('second');
  await listener.hangUp(/TLS certificate reloaded/);
  await until(async () => (await listener.shownByAll()).join() === 'second', 'well again');
  old.socket.terminate();
});

test('SIGHUP without TLS changes nothing', async (t) => {
  const crier = await startCrier({ t });
  crier.child.kill('SIGHUP');
  await until(() => /nothing to reload/.test(crier.stderr), 'a line in the log');
  assert.equal((await crier.get('/healthz')).status, 200);
});

const headersOf = (port, path) => new Promise((done, fail) => {
  get({ host: '127.0.0.1', port, path, rejectUnauthorized: false }, (reply) => { reply.resume(); done(reply.headers); }).on('error', fail);
});

test('server.tls.hsts: Strict-Transport-Security over TLS, none without the key', async (t) => {
  const with_ = await Listener.start(t, { hsts: '365d' });
  for (const path of ['/healthz', '/nowhere'])
    assert.equal((await headersOf(with_.server.port, path))['strict-transport-security'], 'max-age=31536000', path);
  const without = await Listener.start(t);
  assert.equal((await headersOf(without.server.port, '/healthz'))['strict-transport-security'], undefined);
});
