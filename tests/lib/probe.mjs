// Talks to build/tests/bridge_probe: one driver without the engine. Bytes travel as strings of characters U+0000 to
// U+00FF, see bytes() and text() below.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const buildDir = resolve(process.env.CRIER_BUILD ?? join(root, 'build'));

export const bytes = (s) => Buffer.from(s, 'utf8').toString('latin1');
export const text = (s) => (s === null ? null : Buffer.from(s, 'latin1').toString('utf8'));
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Polls until `test()` gives something true, which is returned. */
export async function until(test, what = 'condition', ms = 20000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(10);
  }
}

function probeArguments(driver, { servers, node, publishTimeout, publishQueue, log, options = {} }) {
  const path = join(buildDir, 'drivers', `${driver}.so`);
  if (!existsSync(path)) throw new Error(`${path} is not there: build first`);
  const args = [path];
  const add = (name, value) => value !== undefined && args.push(name, String(value));
  add('--servers', servers);
  add('--node', node);
  add('--publish-timeout', publishTimeout);
  add('--publish-queue', publishQueue);
  add('--log', log);
  for (const [name, value] of Object.entries(options)) args.push('-o', `${name}=${value}`);
  return args;
}

export class Probe {
  /** Driver name; options: servers, node, publishTimeout, publishQueue, log (level), options {name: value}, check. */
  constructor(driver, settings = {}) {
    this.events = [];
    this.stderr = '';
    this.watchers = new Set();
    this.counter = 0;
    const args = probeArguments(driver, settings);
    if (settings.check) args.push('--check');
    const env = { TSAN_OPTIONS: `suppressions=${join(root, 'tests/tsan.supp')}`, ...process.env };
    this.child = spawn(join(buildDir, 'tests', 'bridge_probe'), args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.exit = new Promise((done) => this.child.on('close', (code, signal) => {
      this.exited = { code, signal };
      this.wake();
      done(this.exited);
    }));
    this.child.stdin.on('error', () => {});
    this.child.stderr.on('data', (data) => {
      this.stderr += data;
      if (process.env.PROBE_VERBOSE) process.stderr.write(data);
    });
    let rest = '';
    this.child.stdout.setEncoding('utf8');
    this.child.stdout.on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      for (const line of lines) this.events.push({ ...JSON.parse(line), at: Date.now() });
      if (lines.length) this.wake();
    });
  }

  wake() {
    for (const watcher of [...this.watchers]) watcher();
  }

  send(cmd, members = {}) {
    this.child.stdin.write(JSON.stringify({ cmd, ...members }) + '\n');
  }

  /** Resolves with test()'s first true result; looked at after each event. */
  when(test, what, ms = 20000) {
    return new Promise((done, fail) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.watchers.delete(look);
        settle(value);
      };
      const look = () => {
        const value = test();
        if (value) finish(done, value);
        else if (this.exited) finish(fail, new Error(`${what}: the probe ended (${JSON.stringify(this.exited)})\n${this.stderr}`));
      };
      const timer = setTimeout(() => finish(fail, new Error(
        `${what}: not within ${ms} ms; last events ${JSON.stringify(this.events.slice(-5))}\n${this.stderr.slice(-2000)}`)), ms);
      this.watchers.add(look);
      look();
    });
  }

  /** First event that has these members. */
  find(members) {
    return this.events.find((e) => Object.entries(members).every(([k, v]) => e[k] === v));
  }

  all(members) {
    return this.events.filter((e) => Object.entries(members).every(([k, v]) => e[k] === v));
  }

  event(members, ms) {
    return this.when(() => this.find(members), JSON.stringify(members), ms);
  }

  /** The driver's current state as it was last reported. */
  get state() {
    return this.events.findLast((e) => e.event === 'state');
  }

  reached(state, ms) {
    return this.when(() => this.state?.state === state && this.state, `state ${state}`, ms);
  }

  /** Resolves with the receipt. */
  publish(message, ms) {
    const id = message.id ?? `p${++this.counter}`;
    this.send('publish', { ...message, id });
    return this.event({ event: 'published', id }, ms);
  }

  subscribe(id, members) {
    this.send('subscribe', { id, ...members });
  }

  records(id) {
    return this.all({ event: 'record', id });
  }

  /** Waits until subscription `id` has at least `n` records and gives them. */
  async received(id, n, ms) {
    await this.when(() => this.records(id).length >= n, `${n} records of ${id}`, ms);
    return this.records(id);
  }

  /** Resolves with {records, ...the closing event}. */
  async read(members, ms) {
    const id = `r${++this.counter}`;
    this.send('read', { id, ...members });
    const end = await this.event({ event: 'read', id }, ms);
    return { ...end, records: this.all({ event: 'read_record', id }) };
  }

  async stats() {
    const before = this.all({ event: 'stats' }).length;
    this.send('stats');
    await this.when(() => this.all({ event: 'stats' }).length > before, 'stats');
    return this.all({ event: 'stats' })[before];
  }

  /** Closes the bridge, waits for the process and checks that it ended cleanly. */
  async close(deadline_ms = 5000) {
    if (!this.exited) this.send('close', { deadline_ms });
    const result = await this.exit;
    if (result.code !== 0) throw new Error(`bridge_probe ended with ${JSON.stringify(result)}\n${this.stderr}`);
    return this;
  }

  kill() {
    this.child.kill('SIGKILL');
    return this.exit;
  }
}
