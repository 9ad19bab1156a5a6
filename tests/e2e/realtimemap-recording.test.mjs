// A recording of the feed through a real mosquitto, a relay and the log, with a kill in the middle: the map knows in the end
// what a plain reading of the recording says. CRIER_HFP_RECORDINGS names a folder of further recordings (*.dump).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDir, sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { HfpModel, readLine } from '../lib/hfp_model.mjs';
import { missing, startMosquitto } from '../lib/mosquitto.mjs';

const NOTIFICATION = 103;

const config = (broker) => ({
  bridge: [
    { name: 'feed', driver: 'mqtt', servers: broker.url },
    { name: 'log', driver: 'embedded', servers: 'data/crier.db' },
  ],
  namespace: [
    { name: 'vehicles', keyed: true, key_ttl: '24h', behind: 'conflate', type: 107 },
    { name: 'geofence', history: 10000, type: 103 },
    { name: 'counts', keyed: true, behind: 'conflate', type: 106 },
  ],
  relay: [{ from_bridge: 'feed', from_topic: '/hfp/v2/#', to_bridge: 'log', to_topic: 'hfp', key: '{topic.7}.{topic.8}' }],
  source: [{ bridge: 'log', topic: 'hfp', from: 'history', channel: 'vehicles:all', transform: 'hfp', dead_letter: 'hfp.dlq' }],
  module: [{ name: 'realtimemap', silent: '24h' }],
});

/** Vehicles that drive through Kallio and Lauttasaari, with what the real feed has: repeats, nulls, doors, dead runs, late ones. */
function generate(seed) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const vehicles = Array.from({ length: 12 }, (_, i) => ({
    operator: ['0018', '0012', '0022', '0040'][i % 4], number: String(100 + i).padStart(5, '0'), mode: i % 4 === 3 ? 'tram' : 'bus',
    line: String(500 + (i % 5)), lat: 60.17 + random() * 0.02, lon: 24.87 + random() * 0.1, dlat: (random() - 0.5) * 0.002,
    dlon: (random() - 0.5) * 0.004,
  }));
  const lines = [];
  const start = Date.parse('2026-03-01T12:00:00.250Z');
  for (let second = 0; second < 150; second++) {
    for (const v of vehicles) {
      v.lat += v.dlat;
      v.lon += v.dlon;
      if (random() < 0.1) [v.dlat, v.dlon] = [-v.dlat, -v.dlon];
      const lost = random() < 0.05;
      const event = random() < 0.05 ? ['doo', 'doc', 'arr', 'dep'][Math.floor(random() * 4)] : 'vp';
      const deadrun = second < 10 && v.number === '00104';
      const at = start + second * 1000 - (random() < 0.03 ? 2500 : 0); // some come late
      const [lat, lon] = [Number(v.lat.toFixed(6)), Number(v.lon.toFixed(6))];
      const body = { desi: deadrun ? null : v.line, dir: '1', oper: Number(v.operator), veh: Number(v.number),
        tst: new Date(at).toISOString(), tsi: Math.floor(at / 1000), spd: lost ? null : 8.5, hdg: lost ? null : 90, lat: lost ? null : lat,
        long: lost ? null : lon, acc: 0, dl: -10, odo: 1, drst: event === 'doo' ? 1 : 0, loc: lost ? 'ODO' : 'GPS', stop: null, occu: 0 };
      const topic = deadrun ? `/hfp/v2/deadrun/ongoing/${event}/${v.mode}/${v.operator}/${v.number}`
        : `/hfp/v2/journey/ongoing/${event}/${v.mode}/${v.operator}/${v.number}/10${v.line}/1/Itäkeskus (M)/11:26/1291406/5/60;24/19/72/15`;
      const line = `${new Date(start + second * 1000).toISOString()} ${topic} ${JSON.stringify({ [event.toUpperCase()]: body })}`;
      for (let copies = random() < 0.1 ? 3 : 1; copies > 0; copies--) lines.push(line);
    }
  }
  return lines;
}

async function replay(broker, file) {
  const child = spawn(join(buildDir, 'crier-hfp'), ['replay', file, '--speed', '0', '--qos', '1', '--to', broker.url],
    { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data) => { errors += data; });
  const code = await new Promise((done) => child.on('close', done));
  assert.equal(code, 0, errors);
}

const status = async (server) => (await server.get('/api/map/status')).json;
const total = ({ messages }) => Object.values(messages).reduce((sum, n) => sum + n, 0);

async function compare(server, model) {
  const { messages, vehicles } = await status(server);
  assert.deepEqual(messages, { ...model.outcomes, full: 0 });
  assert.equal(vehicles, model.vehicles.size);
  const { features } = JSON.parse((await server.get('/api/vehicles')).text);
  const shown = features.map((f) => [f.id, ...f.geometry.coordinates, f.properties.timestamp, f.properties.line, f.properties.fix]).sort();
  assert.deepEqual(shown, model.placed().map((v) => [v.key, v.lon, v.lat, v.time, v.line, v.fix]).map((row) =>
    row.map((x, i) => (i === 1 || i === 2 ? Math.round(x * 1e6) / 1e6 : x))).sort());
  for (const v of model.placed()) {
    const { positions } = (await server.get(`/api/trail/${v.key}`)).json;
    assert.deepEqual(positions.map((p) => [p.timestamp, p.latitude, p.longitude]),
      v.trail.map(([time, lat, lon]) => [time, Math.round(lat * 1e6) / 1e6, Math.round(lon * 1e6) / 1e6]), v.key);
  }
  await until(async () => {
    const { publications } = (await server.get('/channels/counts:fleet?since=x:0&limit=1000')).json;
    const counts = Object.fromEntries(publications.map((p) => [p.data.key, p.data.vehicles]));
    return JSON.stringify(Object.entries(counts).sort()) === JSON.stringify(Object.entries(model.counts()).sort());
  }, 'counts as by hand');
  const inside = [], crossings = [];
  for (const { id } of (await server.get('/api/organization')).json) {
    for (const zone of (await server.get(`/api/organization/${id}`)).json.geofences)
      for (const vehicle of zone.vehiclesInZone) inside.push(`${vehicle} ${zone.name}`);
    const { publications } = (await server.get(`/channels/geofence:${id}?since=x:0&limit=10000`)).json;
    for (const { data } of publications) crossings.push(`${data.vehicle_id} ${data.event} ${data.zone_name}`);
  }
  assert.deepEqual(inside.sort(), model.placed().flatMap((v) => [...(v.inside ?? [])].map((zone) => `${v.key} ${zone}`)).sort());
  assert.deepEqual(crossings.sort(), [...model.crossings].sort());
}

async function run(t, lines) {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const file = join(server.dir, 'recording.dump');
  const model = new HfpModel();
  const feed = async (part) => {
    writeFileSync(file, part.join('\n') + '\n');
    part.map(readLine).forEach((message) => model.take(message));
    await replay(broker, file);
  };
  const arrived = (n) => until(async () => total(await status(server)) >= n, `${n} messages`, 60000);

  const watcher = await server.typed();
  watcher.send(101, { southWest: { longitude: 20, latitude: 59 }, northEast: { longitude: 30, latitude: 62 } });
  const half = Math.floor(lines.length / 2);
  await feed(lines.slice(0, half));
  await arrived(half);
  const told = model.crossings.length;
  const news = [];
  while (news.length < told) news.push((await watcher.nextType(NOTIFICATION)).payload);
  assert.deepEqual(news.map((n) => `${n.vehicle_id} ${n.event} ${n.zone_name}`).sort(), [...model.crossings].sort());
  await compare(server, model);

  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const again = await server.typed();
  again.send(101, { southWest: { longitude: 20, latitude: 59 }, northEast: { longitude: 30, latitude: 62 } });
  await again.nextType(102);
  await feed(lines.slice(half));
  await arrived(lines.length);
  const later = [];
  while (later.length < model.crossings.length - told) later.push((await again.nextType(NOTIFICATION)).payload);
  await sleep(200 * slowness);
  assert.equal(again.messages.filter((m) => m.type === NOTIFICATION).length, 0);
  assert.deepEqual(later.map((n) => `${n.vehicle_id} ${n.event} ${n.zone_name}`).sort(), model.crossings.slice(told).sort());
  await compare(server, model);
  return model;
}

test('a recording with all that the feed has comes out as it was, over a kill in the middle', { skip: missing }, async (t) => {
  const model = await run(t, generate(11));
  assert.ok(model.crossings.length > 10, 'the recording crosses zones');
  for (const [outcome, n] of Object.entries(model.outcomes)) assert.ok(n > 0, `the recording has messages that are ${outcome}`);
});

const folder = process.env.CRIER_HFP_RECORDINGS;
for (const name of folder ? readdirSync(folder).filter((file) => file.endsWith('.dump')) : [])
  test(`recording ${name}`, { skip: missing }, async (t) => {
    await run(t, readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean));
  });
