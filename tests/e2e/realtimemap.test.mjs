// The bus map on a real mosquitto: messages of the feed become vehicles.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { startCrier, until } from '../lib/crier.mjs';
import { MapClient, fields } from '../lib/map_client.mjs';
import { missing, startMosquitto } from '../lib/mosquitto.mjs';

const topicOf = (m) => `/hfp/v2/journey/ongoing/${m.event ?? 'vp'}/${m.mode ?? 'bus'}/${m.operator}/${m.vehicle}/` +
  `${m.route ?? '2212'}/1/${m.headsign ?? 'Kauniala'}/11:26/2252204/5/60;24/27/08/15`;

const payloadOf = (m) => JSON.stringify({
  [(m.event ?? 'vp').toUpperCase()]: {
    desi: m.line ?? '212', dir: '1', oper: Number(m.operator), veh: Number(m.vehicle), tst: new Date(m.at).toISOString(),
    tsi: Math.floor(m.at / 1000), spd: m.speed ?? 1.08, hdg: m.heading ?? 268, lat: m.lat, long: m.long, acc: 1.08,
    dl: m.delay ?? -120, odo: 12579, drst: m.doors ?? 0, oday: '2025-03-12', start: '11:26', loc: 'GPS', stop: 2252204,
    route: m.route ?? '2212', occu: 0,
  },
});

/** Publishes one message. */
async function publish(broker, topic, payload) {
  const child = spawn('mosquitto_pub', ['-p', String(broker.port), '-q', '1', '-t', topic, '-m', payload]);
  const code = await new Promise((done) => child.on('close', done));
  assert.equal(code, 0);
}

const tell = (broker, m) => publish(broker, topicOf(m), payloadOf(m));

const config = (broker, more = {}) => ({
  bridge: [{ name: 'hfp', driver: 'mqtt', servers: broker.url }],
  namespace: [
    { name: 'vehicles', keyed: true, key_ttl: '5m', behind: 'conflate', type: 107 },
    { name: 'geofence', history: 100, type: 103 },
    { name: 'counts', keyed: true, behind: 'conflate', type: 106 },
  ],
  source: [{ bridge: 'hfp', topic: '/hfp/v2/#', channel: 'vehicles:all', transform: 'hfp' }],
  module: [{ name: 'realtimemap', ...more }],
});

test('a message of the feed reaches a subscriber of the vehicles', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const client = await server.typed();
  await client.subscribe('vehicles:all');
  await tell(broker, { operator: '0022', vehicle: '01400', at: Date.now(), lat: 60.201181, long: 24.785763, doors: 1 });
  const message = await client.next((m) => m.type === 107);
  assert.equal(message.key, '0022.01400');
  assert.deepEqual({ ...message.payload, time_ms: 0 }, {
    id: '0022.01400', lat: 60201181, lon: 24785763, heading: 268, speed: 108, flags: 1, time_ms: 0, mode: 'bus', line: '212',
    headsign: 'Kauniala', delay: -120, next_stop: '2252204', route: '2212', direction: 1,
  });
});

const VIEWPORT = 101, POSITIONS = 102, NOTIFICATION = 103, VEHICLES = 104, LEFT = 105;

/** south, west, north, east in degrees. */
const viewport = (south, west, north, east, more = {}) => ({
  southWest: { longitude: west, latitude: south }, northEast: { longitude: east, latitude: north }, ...more,
});

const ids = (message) => message.payload.map((p) => p.vehicle_id).sort();

test('a viewport crops the vehicles to a box, in the shape that the seeds know', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const at = Date.now() - 60000;
  await tell(broker, { operator: '0022', vehicle: '00001', at, lat: 60.1, long: 24.9 });
  await tell(broker, { operator: '0022', vehicle: '00002', at, lat: 60.2, long: 24.9, doors: 1, speed: 0 });
  await tell(broker, { operator: '0012', vehicle: '00003', at, lat: 60.3, long: 24.9, line: '65' });
  const client = await server.typed();
  assert.deepEqual(await client.request(VIEWPORT, { ...viewport(0, 0, 1, 1), southWest: 'nowhere' }).then((m) => m.payload.error.code), 107);

  // What is inside at once; the other spelling.
  client.send(VIEWPORT, { south_west: { longitude: 24.8, latitude: 60.15 }, north_east: { longitude: 25, latitude: 60.25 } });
  const first = await client.nextType(POSITIONS);
  assert.deepEqual(first.payload, [{ vehicle_id: '0022.00002', org_id: '0022', timestamp: at, longitude: 24.9, latitude: 60.2,
    heading: 268, doors_open: true }]);

  // One comes in, one that is not seen moves, one leaves.
  await tell(broker, { operator: '0022', vehicle: '00001', at: at + 1000, lat: 60.16, long: 24.9 });
  assert.deepEqual(ids(await client.nextType(POSITIONS)), ['0022.00001']);
  await tell(broker, { operator: '0012', vehicle: '00003', at: at + 1000, lat: 60.31, long: 24.9, line: '65' });
  await tell(broker, { operator: '0022', vehicle: '00002', at: at + 1000, lat: 60.26, long: 24.9 });
  assert.deepEqual((await client.nextType(LEFT)).payload, { vehicles: ['0022.00002'] });

  // A changed box: only what is new in it, and what fell out.
  client.send(VIEWPORT, viewport(60.2, 24.8, 60.4, 25));
  assert.deepEqual((await client.nextType(LEFT)).payload, { vehicles: ['0022.00001'] });
  assert.deepEqual(ids(await client.nextType(POSITIONS)), ['0012.00003', '0022.00002']);

  // By tags.
  client.send(VIEWPORT, viewport(60.2, 24.8, 60.4, 25, { lines: ['65'], modes: ['bus', 'tram'] }));
  assert.deepEqual((await client.nextType(LEFT)).payload, { vehicles: ['0022.00002'] });
  await tell(broker, { operator: '0022', vehicle: '00002', at: at + 2000, lat: 60.27, long: 24.9 });
  await tell(broker, { operator: '0012', vehicle: '00003', at: at + 2000, lat: 60.32, long: 24.9, line: '65' });
  assert.deepEqual(ids(await client.nextType(POSITIONS)), ['0012.00003']);

  // Another line: it is not to be seen any more, although it has not moved.
  await tell(broker, { operator: '0012', vehicle: '00003', at: at + 3000, lat: 60.32, long: 24.9, line: '66' });
  assert.deepEqual((await client.nextType(LEFT)).payload, { vehicles: ['0012.00003'] });
  await client.expectSilence(300, (m) => [POSITIONS, LEFT, NOTIFICATION].includes(m.type));
});

test('a protobuf session gets compact batches that carry what left', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const at = Date.now() - 60000;
  await tell(broker, { operator: '0040', vehicle: '00401', at, lat: 60.17, long: 24.94, mode: 'tram', line: '4' });
  const page = await MapClient.open(server);
  const batches = [];
  page.onBatch = (batch) => batches.push(batch);
  const next = () => until(() => batches.shift(), 'a batch');
  page.look({ west: 24.9, south: 60.1, east: 25, north: 60.2 }, { notify: true });
  const first = await next();
  assert.ok(Math.abs(first.timeMs - Date.now()) < 10000);
  assert.deepEqual({ ...first, timeMs: 0 }, { reset: true, timeMs: 0, left: [],
    vehicles: [{ id: '0040.00401', lat: 60170000, lon: 24940000, flags: 0, timeMs: at, mode: 1, line: '4' }] });
  await tell(broker, { operator: '0040', vehicle: '00401', at: at + 1000, lat: 60.18, long: 24.94, mode: 'tram', line: '4' });
  assert.equal((await next()).vehicles[0].lat, 60180000);
  await tell(broker, { operator: '0040', vehicle: '00401', at: at + 2000, lat: 60.22, long: 24.94, mode: 'tram', line: '4' });
  const gone = await next();
  assert.deepEqual([gone.reset, gone.vehicles, gone.left], [false, [], ['0040.00401']]);

  // A crossing of Kallio's border, out of sight of the box: news all the same.
  for (const [i, lat] of [60.2, 60.1826].entries())
    await tell(broker, { operator: '0018', vehicle: '00678', at: at + i * 1000, lat, long: 24.9536 });
  const news = await page.typed.next((m) => m.raw.readUInt32LE(0) === NOTIFICATION);
  assert.deepEqual(fields(news.raw.subarray(4)).map(([, text]) => text.toString()),
    ['0018.00678', '0018', 'Pohjolan Kaupunkiliikenne Oy', 'Kallio district', 'Enter']);
});

// ---- from the embedded log: what a restart finds again ----

const logConfig = (more = {}) => ({
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/crier.db' }],
  namespace: [
    { name: 'hfp', publish: true, history: 0 },
    { name: 'vehicles', keyed: true, key_ttl: '5m', behind: 'conflate', type: 107 },
    { name: 'geofence', history: 100, type: 103 },
    { name: 'counts', keyed: true, behind: 'conflate', type: 106 },
  ],
  source: [{ bridge: 'log', topic: 'hfp', channel: 'vehicles:all', transform: 'hfp', from: 'history', dead_letter: 'hfp.dlq' }],
  sink: [{ channel: 'hfp:feed', bridge: 'log', topic: 'hfp' }],
  module: [{ name: 'realtimemap', ...more }],
});

const put = (client, m) => client.publish('hfp:feed', JSON.parse(payloadOf(m)), { key: topicOf(m) });

const newest = async (server, channel) =>
  (await server.get(`/channels/${channel}?since=x:0&limit=100`)).json.publications.map((p) => p.data);

test('trails, zones, counts and crossings come back from the log, and no crossing twice', async (t) => {
  const server = await startCrier({ t, config: logConfig() });
  await server.waitUntilReady();
  const feed = await server.typed();
  const watcher = await server.typed();
  await watcher.request(VIEWPORT, viewport(60, 24, 61, 26));
  const start = Date.now() - 100000;
  // Kallio district: 60.1826, 24.9536, 600 m; of operator 0018. In sight at first outside, then in, out, and in again.
  const places = [[60.2, 24.9536], [60.1826, 24.9536], [60.183, 24.954], [60.2, 24.9536], [60.1826, 24.9536]];
  for (const [i, [lat, long]] of places.entries())
    await put(feed, { operator: '0018', vehicle: '00678', at: start + i * 1000, lat, long, line: '65' });
  // Another operator's vehicle at the same place is in no zone of its own, and one that begins inside does not cross.
  await put(feed, { operator: '0055', vehicle: '00001', at: start, lat: 60.1826, long: 24.9536 });
  await put(feed, { operator: '0018', vehicle: '00679', at: start, lat: 60.1826, long: 24.9536, mode: 'tram' });
  await put(feed, { operator: '0018', vehicle: '00679', at: start, lat: 60.1826, long: 24.9536, mode: 'tram' }); // repeated
  const crossings = [];
  for (let i = 0; i < 3; i++) crossings.push((await watcher.nextType(NOTIFICATION)).payload);
  assert.deepEqual(crossings.map((c) => c.event), ['Enter', 'Exit', 'Enter']);
  assert.deepEqual(crossings[0], { vehicle_id: '0018.00678', org_id: '0018', org_name: 'Pohjolan Kaupunkiliikenne Oy',
    zone_name: 'Kallio district', event: 'Enter' });

  const look = async () => {
    const organizations = (await server.get('/api/organization')).json;
    assert.deepEqual(organizations.map((o) => o.id).sort(), ['0012', '0017', '0018', '0022', '0030']);
    const one = (await server.get('/api/organization/0018')).json;
    assert.deepEqual([one.id, one.name, one.geofences.length], ['0018', 'Pohjolan Kaupunkiliikenne Oy', 3]);
    const kallio = one.geofences.find((g) => g.name === 'Kallio district');
    assert.deepEqual(kallio, { name: 'Kallio district', longitude: 24.95358864, latitude: 60.18260263, radiusInMeters: 600,
      vehiclesInZone: ['0018.00678', '0018.00679'] });
    const trail = (await server.get('/api/trail/0018.00678')).json.positions;
    assert.deepEqual(trail.map((p) => [p.timestamp, p.latitude, p.longitude]), places.map(([lat, long], i) => [start + i * 1000, lat, long]));
    assert.deepEqual(trail[0], { vehicleId: '0018.00678', orgId: '0018', timestamp: start, longitude: 24.9536, latitude: 60.2,
      heading: 268, doorsOpen: false, speed: 1.08 });
    await until(async () => (await newest(server, 'counts:fleet')).length === 7, 'counts');
    const counts = Object.fromEntries((await newest(server, 'counts:fleet')).map((c) => [c.key, c.vehicles]));
    assert.deepEqual(counts, { all: 3, 'mode:bus': 2, 'mode:tram': 1, 'line:65': 1, 'line:212': 2, 'operator:0018': 2, 'operator:0055': 1 });
    assert.deepEqual((await newest(server, 'geofence:0018')).map((c) => c.event), ['Enter', 'Exit', 'Enter']);
    const status = (await server.get('/api/map/status')).json;
    assert.deepEqual([status.simulated, status.vehicles, status.messages.changed, status.messages.repeated], [false, 3, 7, 1]);
    return status;
  };
  await look();
  await server.kill();
  await server.start();
  await server.waitUntilReady();
  const again = await server.typed();
  again.send(VIEWPORT, viewport(60, 24, 61, 26));
  assert.equal((await again.nextType(POSITIONS)).payload.length, 3);
  await look();
  await again.expectSilence(300, (m) => m.type === NOTIFICATION);
  // It goes on where it was: the vehicle is inside, so leaving is the news.
  await put(await server.typed(), { operator: '0018', vehicle: '00678', at: start + 60000, lat: 60.2, long: 24.9536, line: '65' });
  assert.equal((await again.nextType(NOTIFICATION)).payload.event, 'Exit');
});

test('what is asked by HTTP is answered from memory, in the documented shapes', async (t) => {
  const server = await startCrier({ t, config: logConfig({ simulated: true, attribution: 'of the test', result_points: 4 }) });
  await server.waitUntilReady();
  const feed = await server.typed();
  const start = Date.now() - 100000;
  for (let i = 0; i < 8; i++) {
    await put(feed, { operator: '0022', vehicle: '00001', at: start + i * 2000, lat: 60.17 + i * 0.001, long: 24.94 });
    await put(feed, { operator: '0040', vehicle: '00002', at: start + i * 2000, lat: 60.3, long: 24.94, mode: 'tram', line: '4', doors: 1 });
  }
  const get = async (path) => JSON.parse((await server.get(path)).text);
  await until(async () => (await get('/api/map/status')).messages.changed === 16, 'all messages');

  const all = await get('/api/vehicles');
  assert.deepEqual(all.features.map((f) => f.id).sort(), ['0022.00001', '0040.00002']);
  const [tram] = (await get('/api/vehicles?bbox=24,60.25,25,61&mode=tram&line=4&operator=0040')).features;
  assert.deepEqual(tram, { type: 'Feature', id: '0040.00002', geometry: { type: 'Point', coordinates: [24.94, 60.3] }, properties: {
    operator: '0040', mode: 'tram', line: '4', headsign: 'Kauniala', next_stop: '2252204', timestamp: start + 14000, heading: 268,
    speed: 1.08, delay: -120, occupancy: 0, doors_open: true, fix: true, simulated: true } });
  assert.equal((await get('/api/vehicles?mode=metro')).features.length, 0);
  for (const bad of ['1,2,3', '1,2,3,x', '1,2,3,4,5', '0,91,1,92', '2,1,1,2', 'nan,0,1,1'])
    assert.equal((await server.get(`/api/vehicles?bbox=${bad}`)).status, 400, bad);

  // Polling: an ETag, 304, and a long poll that waits for a change.
  const first = await server.get('/api/vehicles');
  const headers = { 'If-None-Match': first.headers.etag };
  assert.equal((await server.get('/api/vehicles', { headers })).status, 304);
  const before = Date.now();
  assert.equal((await server.get('/api/vehicles?wait=1', { headers })).status, 304);
  assert.ok(Date.now() - before >= 950);
  const waiting = server.get('/api/vehicles?wait=20', { headers });
  await put(feed, { operator: '0040', vehicle: '00002', at: start + 20000, lat: 60.31, long: 24.94, mode: 'tram' });
  assert.equal((await waiting).status, 200);

  // Tracks: the way of the one that moved.
  const lines = (await get('/api/tracks')).features[0].geometry;
  assert.equal(lines.type, 'MultiLineString');
  assert.deepEqual(lines.coordinates.map((line) => line.length), [8]);
  const ends = [lines.coordinates[0][0][1], lines.coordinates[0].at(-1)[1]].sort();
  assert.ok(Math.abs(ends[0] - 60.17) < 1e-4 && Math.abs(ends[1] - 60.177) < 1e-4, String(ends));
  assert.deepEqual((await get('/api/tracks?bbox=0,0,1,1')).features[0].geometry.coordinates, []);

  // Replay: thinned to what one answer may hold, each vehicle's newest point always.
  const replay = await get(`/api/replay?from=${start}&to=${start + 14000}`);
  assert.deepEqual(replay.vehicles.map((v) => [v.id, v.mode, v.line]).sort(), [['0022.00001', 'bus', '212'], ['0040.00002', 'tram', '212']]);
  const points = replay.vehicles.find((v) => v.id === '0022.00001').points;
  assert.deepEqual(points.at(-1), [start + 14000, 24.94, 60.177, 268]);
  assert.ok(points.length < 8);
  assert.deepEqual((await get(`/api/replay?from=${start}&to=${start + 14000}&bbox=24,60.25,25,61`)).vehicles.length, 1);

  const missing404 = await server.get('/api/trail/0000.00000');
  assert.deepEqual([missing404.status, missing404.json], [404, { code: 404, reason: 'RESOURCE_NOT_FOUND',
    message: 'Vehicle 0000.00000 not found', metadata: {} }]);
  assert.equal((await server.get('/api/organization/9999')).json.message, 'Organization 9999 not found');
  assert.equal((await server.get('/api/organization/%ff%22')).status, 404);
  const status = await get('/api/map/status');
  assert.deepEqual([status.simulated, status.attribution, status.newest_ms], [true, 'of the test', start + 20000]);
});

test('bad messages are dead letters with a reason, and nothing stops', async (t) => {
  const server = await startCrier({ t, config: logConfig({ vehicles: 1 }) });
  await server.waitUntilReady();
  const feed = await server.typed();
  const good = { operator: '0022', vehicle: '00001', at: Date.now(), lat: 60.17, long: 24.94 };
  await feed.publish('hfp:feed', { VP: {} }, { key: '/hfp/v1/journey' });
  await feed.publish('hfp:feed', [1], { key: topicOf(good) });
  await feed.publish('hfp:feed', 'text', { key: 'no topic' });
  await put(feed, { ...good, lat: null, long: null }); // no fix and no position before: nothing to show yet
  await put(feed, { ...good, at: good.at + 1000 });
  await put(feed, { ...good, at: good.at + 2000, lat: null, long: null }); // keeps its place, and is marked
  await put(feed, { ...good, at: good.at + 500, lat: 60.2 }); // late
  await put(feed, { ...good, vehicle: '00002' }); // one too many
  await until(async () => (await server.metrics()).value?.('crier_dead_letters_total') === 4
    || /crier_dead_letters_total 4/.test((await server.get('/metrics')).text), 'dead letters');
  const [vehicle] = await newest(server, 'vehicles:all');
  assert.deepEqual([vehicle.id, vehicle.lat, vehicle.flags, vehicle.time_ms], ['0022.00001', 60170000, 2, good.at + 2000]);
  const { messages } = (await server.get('/api/map/status')).json;
  assert.deepEqual(messages, { changed: 2, repeated: 0, late: 1, unplaced: 1, full: 1 });
});

test('a vehicle that falls silent goes', async (t) => {
  const config = logConfig({ silent: '2s' });
  config.namespace[1].key_ttl = '2s';
  const server = await startCrier({ t, config });
  await server.waitUntilReady();
  const feed = await server.typed();
  await put(feed, { operator: '0022', vehicle: '00001', at: Date.now(), lat: 60.17, long: 24.94 });
  const client = await server.typed();
  await client.request(VIEWPORT, viewport(60, 24, 61, 26, { form: 'vehicles' }));
  const first = await client.nextType(VEHICLES);
  assert.deepEqual([first.payload.reset, first.payload.vehicles.map((v) => v.id), first.payload.left], [true, ['0022.00001'], []]);
  assert.deepEqual((await client.nextType(VEHICLES)).payload.left, ['0022.00001']);
  await until(async () => (await server.get('/api/map/status')).json.vehicles === 0, 'gone');
  await until(async () => (await newest(server, 'counts:fleet')).length === 0, 'no counts');
});
