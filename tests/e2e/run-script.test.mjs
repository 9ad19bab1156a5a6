// ./run.sh on what is built: a city drives on the map within seconds, and nothing stays behind when it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDir, root, slowness, until } from '../lib/crier.mjs';

/** A folder as a checkout after the build: its data is its own, and cmake has nothing to do. */
function checkout(t) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-run-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['run.sh', 'config.toml']) copyFileSync(join(root, name), join(dir, name));
  for (const name of ['scripts', 'web']) symlinkSync(join(root, name), join(dir, name));
  symlinkSync(buildDir, join(dir, 'build'));
  mkdirSync(join(dir, 'bin'));
  writeFileSync(join(dir, 'bin', 'cmake'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
  return dir;
}

const isThere = (pid) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const childrenOf = (pid) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => {
  try {
    return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'utf8'));
  } catch {
    return false; // ended meanwhile
  }
}).map(Number);

/** run.sh with a free port; in the end neither it nor what it started is there. */
async function start(t) {
  const dir = checkout(t);
  const env = { ...process.env, PATH: `${join(dir, 'bin')}:${process.env.PATH}` };
  const child = spawn(join(dir, 'run.sh'), ['-s', 'server.listen=127.0.0.1:0'], { cwd: tmpdir(), env, stdio: ['ignore', 'pipe', 'pipe'] });
  const run = { child, text: '' };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { run.text += data; });
  run.ended = new Promise((done) => child.on('exit', (code, signal) => done(signal ?? code)));
  t.after(() => child.kill('SIGKILL'));
  await until(() => /^crier ready at /m.test(run.text) || child.exitCode !== null, 'ready', 30000 * slowness);
  run.url = /^crier ready at (http:\S+)$/m.exec(run.text)?.[1];
  assert.ok(run.url, run.text);
  return run;
}

async function aCityDrives(run) {
  const get = async (path) => (await fetch(run.url + path)).json();
  const many = async () => (await get('/api/vehicles')).features.length > 100;
  await until(many, 'more than a hundred vehicles', 20000 * slowness);
  const { simulated, newest_ms: newest } = await get('/api/map/status');
  assert.equal(simulated, true);
  await until(async () => (await get('/api/map/status')).newest_ms > newest, 'they drive on', 10000 * slowness);
  const page = await fetch(`${run.url}/map/`);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /map\.mjs|start\.mjs/);
}

for (const [signal, expected] of [['SIGTERM', 0], ['SIGKILL', 'SIGKILL']]) {
  test(`run.sh shows a living map, and ${signal} leaves nothing behind`, async (t) => {
    const run = await start(t);
    await aCityDrives(run);
    const children = childrenOf(run.child.pid);
    assert.equal(children.length, 1, 'the simulator');
    t.after(() => children.filter(isThere).forEach((pid) => process.kill(pid, 'SIGKILL')));
    run.child.kill(signal);
    assert.equal(await run.ended, expected, run.text);
    await until(() => !children.some(isThere), 'the simulator ends', 10000 * slowness);
  });
}
