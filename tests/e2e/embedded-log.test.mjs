// crier log: the embedded log from the command line, beside a running server and without one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { binary, runCrier, startCrier, until } from '../lib/crier.mjs';

function newLog(t) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-log-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const db = join(dir, 'folder', 'log.db');
  const log = (args, input = '') => runCrier(['log', ...args, '--db', db], { input });
  return { dir, db, log };
}

const records = (result) => result.stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

test('append prints the position of each line, cat gives the records back', async (t) => {
  const { log } = newLog(t);
  const appended = await log(['append', 'chat', '--key', 'room', '--header', 'a=1', '--header', 'b=x=y'], 'one\n\nthree');
  assert.equal(appended.code, 0, appended.stderr);
  assert.equal(appended.stdout, '0:1\n0:2\n0:3\n');
  const all = records(await log(['cat', 'chat', '--json']));
  assert.deepEqual(all.map((r) => r.payload), ['one', '', 'three']);
  assert.deepEqual(all.map((r) => r.offset), [1, 2, 3]);
  assert.equal(all[0].key, 'room');
  assert.deepEqual(all[0].headers, [{ name: 'a', value: '1' }, { name: 'b', value: 'x=y' }]);
  assert.ok(Math.abs(all[0].time_ms - Date.now()) < 60000);
});

test('cat starts at an offset or a time, and ends at a limit', async (t) => {
  const { log } = newLog(t);
  await log(['append', 'chat'], '1\n2\n3\n4\n');
  const payloads = async (...args) => records(await log(['cat', 'chat', '--json', ...args])).map((r) => r.payload);
  assert.deepEqual(await payloads('--since', '3'), ['3', '4']);
  assert.deepEqual(await payloads('--limit', '2'), ['1', '2']);
  assert.deepEqual(await payloads('--since', '1h'), ['1', '2', '3', '4']);
  assert.deepEqual(await payloads('--since', '2020-01-01T00:00:00Z', '--limit', '1'), ['1']);
  assert.deepEqual(await payloads('--since', '2999-01-01T00:00:00Z'), []);
});

test('what could steer a terminal is escaped', async (t) => {
  const { log } = newLog(t);
  await log(['append', 'a\x1bb', '--key', 'k\tk'], 'red \x1b[31m, é, back\\slash\n');
  const [text] = (await log(['cat', 'a\x1bb'])).stdout.split('\n');
  assert.match(text, /^0:1\t[-0-9T:.]+Z\tk\\x09k\tred \\x1b\[31m, é, back\\x5cslash$/);
  const listed = (await log(['ls'])).stdout;
  assert.ok(!listed.includes('\x1b'));
  assert.match(listed, /^a\\x1bb /m);
});

test('trim removes the oldest, and offsets are not used again', async (t) => {
  const { log } = newLog(t);
  await log(['append', 'chat'], '1\n2\n3\n');
  assert.match((await log(['trim', 'chat', '--before', '3'])).stdout, /^chat\/0: 2 records removed, begins at offset 3$/m);
  assert.match((await log(['ls'])).stdout, /^chat +0 +1 +3 +3 +\d+ {2}all$/m);
  await log(['trim', 'chat', '--before', '0s']);
  assert.match((await log(['ls'])).stdout, /^chat +0 +0 +- +- +0 {2}all$/m);
  assert.equal((await log(['append', 'chat'], 'x\n')).stdout, '0:4\n');
});

test('failures have a reason and an exit code', async (t) => {
  const { dir, db, log } = newLog(t);
  const missing = await log(['ls']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /log\.db: No such file/);
  assert.ok(!existsSync(db));
  await log(['append', 'chat'], 'x\n');
  const cases = [
    [['cat', 'nothing'], 1, /no topic "nothing"/],
    [['cat', 'chat', '--partition', '1'], 64, /0 to 0/],
    [['cat', 'chat', '--since', 'yesterday'], 64, /allowed: an offset, a time/],
    [['cat', 'chat', '--limit', '0'], 64, /--limit 0/],
    [['trim', 'chat'], 64, /--before is missing/],
    [['append', 'chat', '--header', 'x'], 64, /allowed: NAME=VALUE/],
    [['append'], 64, /an argument is missing/],
    [['frobnicate'], 64, /none of ls, cat, append, trim/],
  ];
  for (const [args, code, reason] of cases) {
    const result = await log(args);
    assert.equal(result.code, code, args.join(' '));
    assert.match(result.stderr, reason);
  }
  writeFileSync(join(dir, 'text'), 'no database at all, but a text that is longer than the header of one would be\n'.repeat(3));
  const text = await runCrier(['log', 'ls', '--db', join(dir, 'text')]);
  assert.equal(text.code, 1);
  assert.match(text.stderr, /not a log of crier/);
});

const config = {
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
  namespace: [{ name: 'chat', publish: true, history: 1000 }],
  source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
  sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
};

test('beside a running server: appended lines reach sessions, published ones the follower', async (t) => {
  const server = await startCrier({ t, config });
  const client = await server.typed();
  await client.subscribe('chat:lobby');
  const log = (args, input) => runCrier(['log', ...args, '-c', server.configPath], { input });
  const first = await log(['append', 'chat', '--key', 'lobby'], '{"n":1}\n{"n":2}\n');
  assert.equal(first.stdout, '0:1\n0:2\n', first.stderr);
  assert.deepEqual((await client.publications('chat:lobby', 2)).map((m) => m.payload.n), [1, 2]);

  const follower = spawn(binary, ['log', 'cat', 'chat', '--follow', '--json', '-c', server.configPath]);
  t.after(() => follower.kill('SIGKILL'));
  const followed = { stdout: '' };
  follower.stdout.on('data', (data) => { followed.stdout += data; });
  await until(() => records(followed).length === 2, 'the follower has what there is');
  await client.publish('chat:lobby', { n: 3 });
  await until(() => records(followed).length === 3, 'the follower has what came');
  assert.deepEqual(JSON.parse(records(followed)[2].payload), { n: 3 });

  await Promise.all([10, 20, 30].map((n) => log(['append', 'chat', '--key', 'lobby'], `{"n":${n}}\n{"n":${n + 1}}\n`)));
  const rest = (await client.publications('chat:lobby', 7)).slice(1);
  assert.deepEqual(rest.map((m) => m.payload.n).sort((a, b) => a - b), [10, 11, 20, 21, 30, 31]);
  assert.match((await log(['trim', 'chat', '--before', '5'])).stdout, /4 records removed/);
  const after = await log(['append', 'chat', '--key', 'lobby'], '{"n":40}\n');
  assert.equal(after.stdout, '0:10\n');
});
