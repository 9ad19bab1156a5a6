// Starts and ends the programs of a measurement, each on its core.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

export const program = (name) => join(ROOT, 'build', name);
export const benchProgram = (name) => join(ROOT, 'build/tests/bench', name);

export const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// A directory in the build tree, so that what is stored is stored on a disk and not in a tmpfs.
export function makeWorkspace() {
  const parent = join(ROOT, 'build/tests/bench');
  mkdirSync(parent, { recursive: true });
  const path = mkdtempSync(join(parent, 'run-'));
  let count = 0;
  return {
    path,
    makeDirectory() {
      const directory = join(path, String(++count));
      mkdirSync(directory);
      return directory;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

export class Program {
  static running = new Set();

  // nice, chrt and taskset replace themselves, so the process id is the program's own. `first`: before all others on its core,
  // where this may be asked for.
  constructor(core, file, args, { env = {}, cwd, nice = 0, first = false } = {}) {
    const rank = first && process.getuid() === 0 ? ['chrt', '-f', '10'] : ['nice', '-n', String(nice)];
    this.name = file.split('/').pop();
    this.lines = [];
    this.waiting = [];
    this.process = spawn(rank[0], [...rank.slice(1), 'taskset', '-c', String(core), file, ...args.map(String)],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env }, cwd });
    this.pid = this.process.pid;
    Program.running.add(this);
    this.exited = new Promise((done, failed) => {
      this.process.on('error', failed);
      this.process.on('close', (code, signal) => {
        this.status = code ?? signal;
        Program.running.delete(this);
        done(this.status);
        this.waiting.forEach((check) => check());
      });
    });
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.lines.push(line);
      this.waiting.forEach((check) => check());
    });
  }

  // The first line, now or later, that `pick` makes something of.
  line(pick, seconds = 60) {
    return new Promise((done, failed) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.waiting = this.waiting.filter((other) => other !== check);
        settle(value);
      };
      const check = () => {
        const found = this.lines.map(pick).find(Boolean);
        if (found)
          finish(done, found);
        else if (this.status !== undefined)
          finish(failed, new Error(`${this.name} ended with ${this.status}`));
      };
      const timer = setTimeout(() => finish(failed, new Error(`${this.name} said nothing for ${seconds} s`)), seconds * 1000);
      this.waiting.push(check);
      check();
    });
  }

  event(name, seconds) {
    return this.line((line) => {
      const object = line.startsWith('{') ? JSON.parse(line) : {};
      return object.event === name && object;
    }, seconds);
  }

  async stop(signal = 'SIGTERM') {
    if (this.status !== undefined)
      return;
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 20_000);
    await this.exited;
    clearTimeout(timer);
  }

  static stopAll() {
    return Promise.all([...Program.running].map((program) => program.stop()));
  }
}

export function residentBytes(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}
