// The configurations that ship with the bus map work as they stand, but for addresses.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDir, root, runCrier, startCrier, until } from '../lib/crier.mjs';
import { MapClient } from '../lib/map_client.mjs';
import { missing, startMosquitto } from '../lib/mosquitto.mjs';

const folder = join(root, 'examples/realtimemap');
const shipped = (name, changes = []) =>
  changes.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `${name} has ${from}`);
    return text.replaceAll(from, to);
  }, readFileSync(join(folder, name), 'utf8').replace('web = "../../web"', `web = "${root}/web"`));

function simulate(t, ...args) {
  const child = spawn(join(buildDir, 'crier-hfp'), ['simulate', '--vehicles', '50', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data) => { errors += data; });
  const ended = new Promise((done) => child.on('close', done));
  t.after(async () => {
    child.kill('SIGTERM');
    assert.equal(await ended, 0, errors);
  });
}

async function aCityIsSeen(server) {
  const client = await MapClient.open(server);
  client.look({ west: 20, south: 59, east: 30, north: 62 });
  await until(() => client.vehicles.size === 50, 'fifty vehicles', 20000);
  const batches = client.batches;
  await until(() => client.batches > batches + 2, 'they move');
  assert.equal((await server.get('/api/map/status')).json.simulated, true);
  assert.equal((await server.get('/map/')).status, 200);
}

test('simulator.toml: without a broker', async (t) => {
  const server = await startCrier({ t, start: false });
  writeFileSync(join(server.dir, 'api.key'), 'key-of-the-tests\n', { mode: 0o600 });
  server.config = shipped('simulator.toml');
  await server.start();
  await server.waitUntilReady();
  simulate(t, '--to', server.url, '--api-key-file', join(server.dir, 'api.key'));
  await aCityIsSeen(server);
  assert.equal((await server.get('/channels/hfp:feed')).status, 403);
});

test('mosquitto.toml: on a broker', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: shipped('mosquitto.toml', [['mqtt://127.0.0.1:1883', broker.url]]) });
  await server.waitUntilReady();
  simulate(t, '--to', broker.url);
  await aCityIsSeen(server);
});

for (const name of ['hsl.toml', 'kafka.toml', 'mosquitto.toml'])
  test(`${name} is sound`, async () => {
    const { code, stdout, stderr } = await runCrier(['check', '-c', join(folder, name)]);
    assert.equal(code, 0, stdout + stderr);
  });

test('a module that cannot start says why', async (t) => {
  const base = shipped('mosquitto.toml');
  const cases = [
    [[['simulated = true', 'vehicles = 0']], /vehicles: "0" is not allowed, allowed: 1 to 1000000/],
    [[['simulated = true', 'silent = "soon"']], /silent: "soon" is not allowed, allowed: a duration of 1000 to/],
    [[['simulated = true', 'simulated = "perhaps"']], /simulated: "perhaps" is not allowed, allowed: true or false/],
    [[['simulated = true', 'organizations = "none.json"']], /organizations: .*none\.json/],
    [[['type = 107 ', 'type = 99 ']], /channel "vehicles:all": the type of its namespace is no message type/],
    [[['simulated = true', 'channel = "nowhere:all"']], /channel "nowhere:all": its namespace is not configured/],
    [[['simulated = true', 'channel = "geofence:x"']], /channel "geofence:x": a view needs a keyed namespace/],
    [[['name = "counts"', 'name = "sums"']], /counts_channel: "counts:fleet" is in no namespace that is configured/],
    [[['transform = "hfp"', 'transform = "hpf"']], /no module has a transform named "hpf"/],
  ];
  for (const [changes, expected] of cases) {
    const server = await startCrier({ t, start: false });
    writeFileSync(join(server.dir, 'bad.toml'), changes.reduce((text, [from, to]) => text.replace(from, to), base));
    const { code, stderr } = await runCrier(['run', '-c', join(server.dir, 'bad.toml'), '-s', 'server.listen=127.0.0.1:0']);
    assert.equal(code, 78, stderr);
    assert.match(stderr, expected);
  }
});
