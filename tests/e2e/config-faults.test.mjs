// A wrong configuration stops the start with exit code 78, and `crier check` shows all faults at once.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { root, runCrier, startCrier } from '../lib/crier.mjs';

const faults = {
  'an unknown key': ['[server]\nlisten = "127.0.0.1:0"\nlisen = "x"\n', /config\.toml:3:1 server\.lisen: .*allowed: .*listen/],
  'an unknown table': ['[servers]\nlisten = "x"\n', /config\.toml:1:\d+ servers: /],
  'a wrong type': ['[server]\nloops = "two"\n', /config\.toml:2:\d+ server\.loops: .*allowed: /],
  'a number out of bounds': ['[limits]\nfragments = 0\n', /config\.toml:2:\d+ limits\.fragments: .*allowed: .*1/],
  'a wrong word': ['[[namespace]]\nname = "a"\nbehind = "sometimes"\n', /config\.toml:3:\d+ namespace\S*behind: .*allowed: .*conflate/],
  'a key that is missing': ['[[namespace]]\nhistory = 5\n', /config\.toml:1:\d+ namespace\S*name: /],
  'an unknown bridge': ['[[source]]\nbridge = "nothere"\ntopic = "t"\nchannel = "c"\n', /config\.toml:2:\d+ source\S*bridge: .*nothere/],
  'an unknown driver': ['[[bridge]]\nname = "b"\ndriver = "pigeon"\nservers = "x"\n', /config\.toml:\d+:\d+ bridge\S*driver: .*pigeon/],
  'a file that is not there': ['[auth]\napi_key_file = "nothere.key"\n', /config\.toml:2:\d+ auth\.api_key_file: .*nothere\.key/],
  'a duration without a unit it knows': ['[server]\ndrain_ms = "5 parsecs"\n', /config\.toml:2:\d+ server\.drain_ms: /],
  'TOML that cannot be read': ['[server\nlisten = 1\n', /config\.toml:1:\d+/],
  'a key twice': ['[server]\nloops = 1\nloops = 2\n', /config\.toml:3:\d+/],
  'a namespace twice': ['[[namespace]]\nname = "a"\n[[namespace]]\nname = "a"\n', /config\.toml:\d+:\d+ namespace/],
};

function inDirectory(t, text) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-config-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'config.toml');
  if (text !== undefined) writeFileSync(path, text);
  return path;
}

test('each fault names file, line, column, key and what is allowed; run ends with 78, check with 1', async (t) => {
  for (const [what, [text, expected]] of Object.entries(faults)) {
    const path = inDirectory(t, text);
    const run = await runCrier(['run', '-c', path]);
    assert.equal(run.code, 78, `${what}: ${run.stderr}`);
    assert.match(run.stderr, expected, what);
    assert.equal(run.stdout, '', what);
    const check = await runCrier(['check', '-c', path]);
    assert.equal(check.code, 1, what);
    assert.match(check.stdout + check.stderr, expected, what);
  }
});

test('check shows all faults at once', async (t) => {
  const path = inDirectory(t, '[server]\nloops = -1\nnothing = 1\n[limits]\nping_ms = "x"\n[[namespace]]\nname = "a b"\n');
  const { code, stdout, stderr } = await runCrier(['check', '-c', path]);
  assert.equal(code, 1);
  for (const line of [2, 3, 5, 7]) assert.match(stdout + stderr, new RegExp(`config\\.toml:${line}:`));
});

test('a configuration that is not there is 78, a wrong option 64', async (t) => {
  const missing = await runCrier(['run', '-c', inDirectory(t)]);
  assert.equal(missing.code, 78);
  assert.match(missing.stderr, /config\.toml/);
  for (const args of [['run', '--nothing'], ['nothing'], ['run', '-s'], ['run', 'extra']])
    assert.equal((await runCrier(args)).code, 64, args.join(' '));
  const override = await runCrier(['run', '-c', inDirectory(t, ''), '-s', 'server.nothing=1']);
  assert.equal(override.code, 78);
  assert.match(override.stderr, /^-s server\.nothing=1\b.* server\.nothing: unknown key/);
});

test('a secret file that everybody may read is refused', async (t) => {
  const path = inDirectory(t, '[auth]\napi_key_file = "api.key"\n');
  writeFileSync(join(path, '..', 'api.key'), 'key\n', { mode: 0o644 });
  const { code, stderr } = await runCrier(['run', '-c', path]);
  assert.equal(code, 78);
  assert.match(stderr, /api_key_file/);
  assert.doesNotMatch(stderr, /\bkey\n$/);
});

test('the shipped configuration is without fault', async () => {
  const { code, stdout, stderr } = await runCrier(['check', '-c', join(root, 'config.toml')]);
  assert.equal(code, 0, stdout + stderr);
});

test('a port that is taken is a clear message', async (t) => {
  const server = await startCrier({ t });
  const other = await runCrier(['run', '-c', inDirectory(t, ''), '-s', `server.listen=10.255.255.1:${server.port}`]);
  assert.notEqual(other.code, 0);
  assert.match(other.stderr, /10\.255\.255\.1/);
});
