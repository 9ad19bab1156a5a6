// Black-box harness: starts crier in a temporary directory on a free port, watches it, ends exactly what it started.
//
//   const server = await startCrier({ t, config: { namespace: [{ name: 'chat', publish: true }] } });
//   const client = await server.typed();
//
// With `t` (of node:test) everything is ended after the test, and the test fails when the server died by itself or a
// sanitizer reported something. CRIER_BUILD is the build directory, CRIER_BIN another binary.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.mjs';
import { parseMetrics } from './metrics.mjs';
import { RawSocket, RawWebSocket } from './raw.mjs';
import { mergeConfig, writeToml } from './toml.mjs';
import { TypedClient } from './typed.mjs';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const buildDir = resolve(process.env.CRIER_BUILD ?? join(root, 'build'));
export const binary = process.env.CRIER_BIN ?? join(buildDir, 'crier');
/** Sanitizers make everything slower: waits in tests are multiplied by this. */
export const slowness = /asan/.test(buildDir) ? 3 : /tsan/.test(buildDir) ? 6 : 1;
export const API_KEY = 'key-of-the-tests';
export const SECRET = 'secret-of-the-tests-0123456789-0123456789';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Polls until `test()` gives something true, which is returned. `what` may be a function that tells how things stand. */
export async function until(test, what = 'condition', ms = 20000) {
  const end = Date.now() + ms * slowness;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${typeof what === 'function' ? what() : what}: not within ${ms * slowness} ms`);
    await sleep(10);
  }
}

/** What `start` starts, ended with the test; null, and the test is skipped by name, where this machine cannot have it. */
export async function startedOrSkipped(t, start, name) {
  try {
    const broker = await start();
    t.after(() => broker.stop());
    return broker;
  } catch (error) {
    if (!error.skip) throw error;
    t.skip(`${name}: ${error.skip}`);
    return null;
  }
}

/** Below the range the kernel takes ports of outgoing connections from: the port has to be free at a restart too. */
export async function freePort() {
  for (;;) {
    const port = 15000 + Math.floor(Math.random() * 17000);
    const probe = createServer();
    const free = await new Promise((done) => {
      probe.once('error', () => done(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

const defaults = (dir) => ({
  server: { loops: 2, drain_ms: 200 },
  auth: { api_key_file: join(dir, 'api.key'), hmac_secret_file: join(dir, 'hmac.secret') },
  limits: {},
  log: { level: 'debug' },
  namespace: [{ name: 'default', publish: true }],
});

const REPORT = /ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: |Assertion .* failed/;
const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));

function newDirectory() {
  const dir = mkdtempSync(join(tmpdir(), 'crier-'));
  writeFileSync(join(dir, 'api.key'), `${API_KEY}\n`, { mode: 0o600 });
  writeFileSync(join(dir, 'hmac.secret'), `${SECRET}\n`, { mode: 0o600 });
  mkdirSync(join(dir, 'data'));
  return dir;
}

export class Crier {
  /** See startCrier(). */
  constructor(options) {
    this.options = options;
    this.ownsDirectory = !options.dir;
    this.dir = options.dir ?? newDirectory();
    this.config = options.config ?? {};
    this.problems = [];
    this.stdout = '';
    this.stderr = '';
    this.clients = new Set();
  }

  get pid() { return this.child.pid; }
  get url() { return `http://127.0.0.1:${this.port}`; }
  get wsUrl() { return `ws://127.0.0.1:${this.port}`; }
  /** All that was written to standard error, over restarts. */
  logs() { return this.stderr; }

  writeConfig() {
    this.configPath = join(this.dir, 'config.toml');
    const text = typeof this.config === 'string' ? this.config : writeToml(mergeConfig(defaults(this.dir), this.config));
    writeFileSync(this.configPath, text);
  }

  spawn() {
    this.writeConfig();
    const { args = [], env = {}, binary: program = binary } = this.options;
    this.ending = false;
    this.ready = false;
    const all = ['run', '-c', this.configPath, '-s', `server.listen=127.0.0.1:${this.port}`, ...args];
    this.child = spawn(program, all, { cwd: this.dir, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const child = this.child;
    alive.add(child);
    this.child.stdout.on('data', (data) => { this.stdout += data; });
    this.child.stderr.on('data', (data) => {
      this.stderr += data;
      if (process.env.CRIER_VERBOSE) process.stderr.write(data);
    });
    this.exited = new Promise((done) => child.on('close', (code, signal) => {
      alive.delete(child);
      done({ code, signal });
      if (!this.ending) this.problems.push(`crier died by itself (${signal ?? `exit ${code}`})`);
    }));
    this.child.on('error', (error) => this.problems.push(String(error)));
  }

  async start() {
    this.port ??= await freePort();
    this.spawn();
    const ready = /^crier ready at (http:\/\/127\.0\.0\.1:(\d+))$/m;
    const before = this.stdout.length;
    await until(() => ready.test(this.stdout.slice(before)) || this.problems.length, 'crier ready');
    if (this.problems.length) throw new Error(this.describe());
    this.ready = true;
    return this;
  }

  /** What went wrong and the end of the log. */
  describe() {
    return `${this.problems.join('; ')}\n${this.stderr.split('\n').slice(-80).join('\n')}`;
  }

  /** Fails when the server died by itself or a sanitizer found something. */
  check() {
    const report = REPORT.exec(this.stderr);
    if (report) this.problems.push(`report in the log: ${report[0]}`);
    const text = this.describe();
    const bad = this.problems.length > 0;
    this.problems = [];
    if (bad) process.stderr.write(`${text}\n`); // the test may fail for another reason first
    if (bad) throw new Error(report ? `${text}\n${this.stderr.slice(report.index, report.index + 6000)}` : text);
  }

  async exit(ms) {
    const timer = setTimeout(() => {
      this.problems.push(`did not end within ${ms} ms`);
      this.child.kill('SIGKILL');
    }, ms);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** SIGTERM, and a clean end: exit code 0. */
  async stop(ms = 10000 * slowness) {
    if (!alive.has(this.child)) return this.check();
    this.ending = true;
    this.child.kill('SIGTERM');
    const { code, signal } = await this.exit(ms);
    if (code !== 0) this.problems.push(`stopped with ${signal ?? `exit ${code}`} instead of exit 0`);
    this.check();
  }

  /** SIGKILL: no goodbye, nothing flushed. */
  async kill() {
    this.ending = true;
    this.child.kill('SIGKILL');
    await this.exited;
    this.check();
  }

  /** Starts it again on the same port and data; stopped first when it still runs. */
  async restart({ config } = {}) {
    await this.stop();
    if (config) this.config = config;
    return this.start();
  }

  /** The end of a test: clients, process, directory. */
  async end() {
    for (const client of this.clients) client.terminate();
    try {
      if (this.child && alive.has(this.child)) await this.stop();
      else this.check();
    } finally {
      if (this.ownsDirectory) rmSync(this.dir, { recursive: true, force: true });
    }
  }

  /** A token of these claims, signed with the secret of the harness (HS256). */
  token(claims, { secret = SECRET } = {}) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
    return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
  }

  /** HTTP on a connection of its own: {status, headers, text, json}. */
  request(method, path, options) {
    return request(this.port, method, path, options);
  }

  get(path, options) {
    return this.request('GET', path, options);
  }

  /** Server API with the key; gives `result`, throws the error object of the reply otherwise. */
  async api(method, body = {}) {
    const reply = await this.request('POST', `/api/${method}`, { json: body, headers: { 'X-API-Key': API_KEY } });
    if (reply.status !== 200 || reply.json?.error)
      throw Object.assign(new Error(`${method}: ${reply.status} ${reply.text}`), { reply, code: reply.json?.error?.code });
    return reply.json.result;
  }

  /** Waits until /readyz agrees: bridges are there and the history is filled. */
  async waitUntilReady(ms = 20000) {
    await until(async () => (await this.get('/readyz')).status === 200, 'ready', ms);
    return this;
  }

  async metrics() {
    return parseMetrics((await this.get('/metrics')).text);
  }

  async raw() {
    return this.track(await RawSocket.connect(this.port));
  }

  /** WebSocket on raw bytes, after the handshake. */
  async rawWebSocket(path = '/ws', headers = {}) {
    return this.track(await RawWebSocket.open(this.port, path, headers));
  }

  /** Session on the typed wire; options: path, form, headers, protocols, origin. */
  async typed(options = {}) {
    const client = this.track(new TypedClient(this.wsUrl, options));
    await client.opened;
    return client;
  }

  track(client) {
    this.clients.add(client);
    return client;
  }

  /** Memory of the process in bytes. */
  rss() {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) * 1024;
  }
}

/**
 * Starts a server and waits until it is ready. Options: t (test context), config (object over a minimal default, or the
 * whole text), args, env, binary, dir (existing directory; kept), port, start (false: only prepared).
 */
export async function startCrier(options = {}) {
  const server = new Crier(options);
  server.port = options.port;
  options.t?.after(() => server.end());
  if (options.start === false) return server;
  return server.start();
}

/** Runs `crier ARGS` to its end: {code, stdout, stderr}. */
export async function runCrier(args, { env = {}, cwd = root, input = '' } = {}) {
  const child = spawn(binary, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  alive.add(child);
  const result = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => { result.stdout += data; });
  child.stderr.on('data', (data) => { result.stderr += data; });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), 20000 * slowness);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  alive.delete(child);
  return { ...result, code: code ?? signal };
}
