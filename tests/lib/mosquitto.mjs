// A real mosquitto on loopback: free port, own temp directory, ended by its own pid.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './crier.mjs';
import { sleep } from './probe.mjs';

const binary = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/usr/bin/mosquitto'].find((path) => existsSync(path));

/** Reason to skip, or undefined. */
export const missing = binary ? undefined : 'mosquitto is not installed (Debian package mosquitto)';

const openssl = (cwd, ...args) => execFileSync('openssl', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });

/** CA, server certificate for localhost and 127.0.0.1, client certificate, and a second CA that signed nothing. */
function makeCertificates(dir) {
  const ca = (name) => openssl(dir, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '2', '-subj', `/CN=${name} of a test`);
  const leaf = (name, subject, extension) => {
    writeFileSync(join(dir, `${name}.ext`), extension);
    openssl(dir, 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`,
      '-out', `${name}.csr`, '-subj', subject);
    openssl(dir, 'x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial',
      '-out', `${name}.crt`, '-days', '2', '-extfile', `${name}.ext`);
  };
  ca('ca');
  ca('other-ca');
  leaf('server', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  leaf('client', '/CN=client', 'extendedKeyUsage=clientAuth\n');
}

async function portOpens(port, child, log) {
  for (let i = 0; i < 500; i++) {
    if (child.exitCode !== null) throw new Error(`mosquitto ended at once:\n${readFileSync(log, 'utf8')}`);
    const open = await new Promise((done) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    });
    if (open) return;
    await sleep(10);
  }
  throw new Error(`mosquitto did not open port ${port}`);
}

/** Options: tls, mutualTls, ws (further listeners), password {user: password}, acl (text), config (further lines). */
export async function startMosquitto(options = {}) {
  if (missing) throw Object.assign(new Error(missing), { skip: missing });
  const dir = mkdtempSync(join(tmpdir(), 'crier-mosquitto-'));
  const file = (name) => join(dir, name);
  const tls = options.tls || options.mutualTls;
  const port = await freePort();
  const tlsPort = tls ? await freePort() : undefined;
  const wsPort = options.ws ? await freePort() : undefined;
  mkdirSync(file('mq'));
  if (tls) makeCertificates(dir);
  const lines = [
    `listener ${port} 127.0.0.1`,
    `allow_anonymous ${options.password ? 'false' : 'true'}`,
    'persistence true',
    `persistence_location ${file('mq')}/`,
    'max_queued_messages 0',
    'max_inflight_messages 100',
    'set_tcp_nodelay true',
    'log_type all',
    `log_dest file ${file('log')}`,
    ...(process.getuid() === 0 ? ['user root'] : []),
  ];
  if (options.password) {
    for (const [user, password] of Object.entries(options.password))
      spawnSync('mosquitto_passwd', [...(existsSync(file('passwd')) ? [] : ['-c']), '-b', file('passwd'), user, password]);
    lines.push(`password_file ${file('passwd')}`);
  }
  if (options.acl) {
    writeFileSync(file('acl'), options.acl);
    lines.push(`acl_file ${file('acl')}`);
  }
  lines.push(...(options.config ?? []));
  if (tls)
    lines.push(`listener ${tlsPort} 127.0.0.1`, `cafile ${file('ca.crt')}`, `certfile ${file('server.crt')}`,
      `keyfile ${file('server.key')}`, `require_certificate ${options.mutualTls ? 'true' : 'false'}`);
  if (options.ws) lines.push(`listener ${wsPort} 127.0.0.1`, 'protocol websockets');
  writeFileSync(file('m.conf'), lines.join('\n') + '\n');

  const broker = {
    dir, port, tlsPort, wsPort, file,
    url: `mqtt://127.0.0.1:${port}`,
    tlsUrl: tls && `mqtts://127.0.0.1:${tlsPort}`,
    wsUrl: options.ws && `ws://127.0.0.1:${wsPort}`,
    log: () => readFileSync(file('log'), 'utf8'),

    async start() {
      const child = spawn(binary, ['-c', file('m.conf')], { stdio: 'ignore' });
      broker.child = child;
      broker.ended = new Promise((done) => child.on('close', done));
      await portOpens(port, child, file('log'));
    },
    /** SIGKILL: what was not saved is lost. */
    async kill() {
      broker.child.kill('SIGKILL');
      await broker.ended;
    },
    /** SIGUSR1 writes the persistent state at once; without it mosquitto does so every half hour and at its end. */
    async save() {
      const before = existsSync(file('mq/mosquitto.db')) ? readFileSync(file('mq/mosquitto.db')).length : -1;
      broker.child.kill('SIGUSR1');
      for (let i = 0; i < 200; i++) {
        await sleep(10);
        if (existsSync(file('mq/mosquitto.db')) && readFileSync(file('mq/mosquitto.db')).length !== before) return;
      }
    },
    async terminate() {
      broker.child.kill('SIGTERM');
      await broker.ended;
    },
    async restart() {
      await broker.terminate();
      await broker.start();
    },
    pause: () => broker.child.kill('SIGSTOP'),
    cont: () => broker.child.kill('SIGCONT'),
    async stop() {
      broker.cont();
      if (broker.child.exitCode === null && broker.child.signalCode === null) await broker.terminate();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  await broker.start();
  return broker;
}

/** mosquitto_pub, an independent publisher. */
export function pub(broker, topic, payload, ...args) {
  const what = payload === null ? ['-n'] : ['-m', payload];
  const result = spawnSync('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(broker.port), '-V', 'mqttv5', '-t', topic,
    ...what, ...args], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`mosquitto_pub: ${result.stderr || result.stdout || result.error}`);
}

/** One message a line of `lines`, QoS 1, over one connection. */
export function pubLines(broker, topic, lines, ...args) {
  const result = spawnSync('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(broker.port), '-q', '1', '-t', topic, '-l', ...args],
    { input: lines.join('\n') + '\n', encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`mosquitto_pub: ${result.stderr || result.error}`);
}

/** mosquitto_sub, an independent subscriber: {lines, stop()}; resolves when the broker has its subscription. */
export async function sub(broker, topic, ...args) {
  /* Into a pipe it would keep its "Subscribed" back. */
  const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', String(broker.port), '-V', 'mqttv5', '-t', topic, '-d', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  let rest = '', ready, complaint = '';
  child.stderr.on('data', (data) => { complaint += data; });
  const ended = new Promise((done) => child.on('close', done));
  const subscribed = new Promise((done, fail) => {
    ready = done;
    ended.then((code) => fail(new Error(`mosquitto_sub ended with ${code}: ${complaint}`)));
  });
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (data) => {
    const parts = (rest + data).split('\n');
    rest = parts.pop();
    for (const line of parts) {
      if (/^Subscribed /.test(line)) ready();
      else if (!/^(Client |Subscribed )/.test(line)) lines.push(line);
    }
  });
  await subscribed;
  return { lines, async stop() { child.kill('SIGTERM'); await ended; } };
}
