// Viewers that move their boxes, filter, and do not read, while a city drives: in the end each knows what is in its box.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDir, sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { MapClient } from '../lib/map_client.mjs';
import { missing, startMosquitto } from '../lib/mosquitto.mjs';

const config = (broker, vehicles = {}) => ({
  server: { loops: 2 },
  bridge: [{ name: 'feed', driver: 'mqtt', servers: broker.url }],
  namespace: [
    { name: 'vehicles', keyed: true, key_ttl: '5m', behind: 'conflate', type: 107, history: 0, ...vehicles },
    { name: 'geofence', history: 100, type: 103 },
    { name: 'counts', keyed: true, behind: 'conflate', type: 106 },
  ],
  source: [{ bridge: 'feed', topic: '/hfp/v2/#', qos: 0, channel: 'vehicles:all', transform: 'hfp' }],
  module: [{ name: 'realtimemap' }],
});

function simulate(t, broker, vehicles, rate) {
  const child = spawn(join(buildDir, 'crier-hfp'), ['simulate', '--vehicles', String(vehicles), '--rate', String(rate / slowness), '--to', broker.url],
    { stdio: 'ignore' });
  const ended = new Promise((done) => child.on('close', done));
  const end = () => {
    child.kill('SIGTERM');
    return ended;
  };
  t.after(end);
  return end;
}

const MODES = ['bus', 'tram', 'train', 'ferry', 'metro'];

const sees = (client, { lat, lon, mode, line }) => {
  const { west, south, east, north } = client.box;
  const { modes = [], lines = [] } = client.more;
  const e6 = (degrees) => Math.round(degrees * 1e6);
  return lat >= e6(south) && lat <= e6(north) && lon >= e6(west) && lon <= e6(east) && (!modes.length || modes.includes(mode))
    && (!lines.length || lines.includes(line));
};

/** Waits until the city stands still and everything has been delivered, then compares each viewer with what there is. */
async function compareAtRest(server, clients) {
  const look = async () => JSON.parse((await server.get('/api/vehicles')).text).features.map((f) => ({
    id: f.id, lat: Math.round(f.geometry.coordinates[1] * 1e6), lon: Math.round(f.geometry.coordinates[0] * 1e6),
    mode: f.properties.mode, line: f.properties.line, timeMs: f.properties.timestamp,
  }));
  let all = await look();
  for (let before = null; JSON.stringify(before) !== JSON.stringify(all); all = await look()) {
    before = all;
    await sleep(300);
  }
  for (const client of clients) {
    const expected = all.filter((v) => sees(client, v)).map((v) => `${v.id} ${v.lat} ${v.lon} ${v.timeMs}`).sort();
    const told = () => [...client.vehicles.values()].map((v) => `${v.id} ${v.lat} ${v.lon} ${v.timeMs}`).sort();
    await until(() => JSON.stringify(told()) === JSON.stringify(expected), 'what is in the box').catch(() => {});
    assert.deepEqual(told(), expected);
  }
  return all.length;
}

test('viewers that come, go, move and filter end up with what is in their boxes', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker, { gather_ms: 20 }) });
  await server.waitUntilReady();
  const end = simulate(t, broker, 400, 4);
  let seed = 5;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const roll = () => {
    const [south, west, size] = [60.1 + random() * 0.2, 24.7 + random() * 0.4, random() ** 2 * 0.3];
    const more = random() < 0.3 ? { modes: MODES.filter(() => random() < 0.5) } : {};
    return [{ south, west, north: south + size, east: west + size * 2 }, more];
  };
  const clients = await Promise.all(Array.from({ length: 16 }, () => MapClient.open(server)));
  const stop = Date.now() + 5000 * Math.min(slowness, 3);
  const paths = ['/api/vehicles?bbox=24.9,60.1,25,60.2', '/api/tracks', '/api/replay', '/api/organization/0018', '/api/map/status', '/metrics'];
  for (let i = 0; Date.now() < stop; i++) {
    clients[i % clients.length].look(...roll());
    if (i % 10 === 0) assert.equal((await server.get(paths[(i / 10) % paths.length])).status, 200);
    if (i % 50 === 49) { // one goes, another comes
      clients[i % clients.length].typed.terminate();
      clients[i % clients.length] = await MapClient.open(server);
      clients[i % clients.length].look(...roll());
    }
    await sleep(10);
  }
  await end();
  assert.equal(await compareAtRest(server, clients.filter((c) => c.box)), 400);
});

test('a viewer that does not read costs no memory, and gets everything anew when it reads', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: { ...config(broker, { gather_ms: 20 }), server: { loops: 2, send_buffer_bytes: 4096 } } });
  await server.waitUntilReady();
  const end = simulate(t, broker, 1000, 5);
  const whole = { west: 20, south: 59, east: 30, north: 62 };
  const reader = await MapClient.open(server), slow = await Promise.all([1, 2, 3, 4].map(() => MapClient.open(server)));
  reader.look(whole);
  slow.forEach((client) => client.look(whole));
  await until(() => reader.vehicles.size === 1000 && slow.every((client) => client.vehicles.size > 0), 'the city is there', 20000);
  slow.forEach((client) => client.pause());
  await sleep(2000);
  const [before, batches] = [server.rss(), reader.batches];
  await sleep(4000);
  const grown = server.rss() - before;
  assert.ok(reader.batches > batches, 'the others go on');
  if (slowness === 1) assert.ok(grown < 8e6, `the server grew by ${grown} bytes`); // sanitizers keep what is freed
  const resets = slow.map((client) => client.resets);
  slow.forEach((client) => client.resume());
  await until(() => slow.every((client, i) => client.resets > resets[i]), 'everything anew');
  await end();
  assert.equal(await compareAtRest(server, [reader, ...slow]), 1000);
});

test('a slow viewer is not told what is long over, whatever the kernel would take for it', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker, { gather_ms: 20 }) });
  await server.waitUntilReady();
  const end = simulate(t, broker, 1000, 10);
  const slow = await MapClient.open(server);
  slow.look({ west: 20, south: 59, east: 30, north: 62 });
  slow.pause(); // before it has shown how fast it can be, so that its own side takes little
  await sleep(6000 * slowness);
  let bytes = 0;
  const old = slow.typed.onMessage, resets = slow.resets;
  slow.typed.onMessage = (message) => {
    if (slow.resets === resets || slow.resets === resets + 1) bytes += message.raw.length;
    return old(message);
  };
  slow.resume();
  await until(() => slow.resets >= resets + 2, 'everything anew', 20000);
  assert.ok(bytes < 600e3, `${bytes} bytes of the past`);
  await end();
  assert.equal(await compareAtRest(server, [slow]), 1000);
});

test('with interval_ms a vehicle comes at most so often, in its newest place', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker, { interval_ms: 500 }) });
  await server.waitUntilReady();
  const end = simulate(t, broker, 100, 20);
  const client = await MapClient.open(server);
  const times = [];
  client.onBatch = () => times.push(performance.now());
  client.look({ west: 20, south: 59, east: 30, north: 62 });
  await sleep(4000 * slowness);
  await end();
  const gaps = times.slice(2).map((at, i) => at - times[i + 1]);
  assert.ok(gaps.length >= 5 && Math.min(...gaps) > 400 / slowness, `gaps of ${gaps.map(Math.round)} ms`);
  await compareAtRest(server, [client]);
});

test('a view that nobody looked at for long begins with what is there now', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const end = simulate(t, broker, 20, 1);
  const whole = { west: 20, south: 59, east: 30, north: 62 };
  for (const pause of [12500, 10600, 0]) { // the channel lingers for ten seconds, and is looked at once a second
    const client = await MapClient.open(server);
    client.look(whole);
    await until(() => client.batches > 2 && client.vehicles.size === 20, 'the city');
    client.typed.terminate();
    await sleep(pause);
  }
  const last = await MapClient.open(server);
  last.look(whole);
  await end();
  assert.equal(await compareAtRest(server, [last]), 20);
});
