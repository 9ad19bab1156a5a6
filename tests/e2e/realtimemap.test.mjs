// The bus map on a real mosquitto: messages of the feed become vehicles.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { startCrier, until } from '../lib/crier.mjs';
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

/** Fields of a protobuf message: [number, wire type, value]; bytes as Buffer. */
function fields(bytes) {
  const list = [];
  let at = 0;
  const varint = () => {
    let value = 0n, shift = 0n, byte;
    do {
      byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) list.push([tag >> 3, varint()]);
    else {
      const length = Number(varint());
      list.push([tag >> 3, bytes.subarray(at, at += length)]);
    }
  }
  return list;
}

const zigzag = (value) => Number(value >> 1n) * (value & 1n ? -1 : 1);

function readBatch(message) {
  const batch = { reset: false, vehicles: [], left: [] };
  for (const [number, value] of fields(message.raw.subarray(4))) {
    if (number === 1) batch.reset = value === 1n;
    if (number === 3) {
      const vehicle = Object.fromEntries(fields(value));
      batch.vehicles.push({ id: vehicle[1].toString(), lat: zigzag(vehicle[2]), lon: zigzag(vehicle[3]), mode: Number(vehicle[8] ?? 0n),
        line: vehicle[9]?.toString() });
    }
    if (number === 4) batch.left.push(value.toString());
  }
  return batch;
}

test('a protobuf session gets compact batches that carry what left', { skip: missing }, async (t) => {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const server = await startCrier({ t, config: config(broker) });
  await server.waitUntilReady();
  const at = Date.now() - 60000;
  await tell(broker, { operator: '0040', vehicle: '00401', at, lat: 60.17, long: 24.94, mode: 'tram', line: '4' });
  const page = await server.typed({ path: '/ws?codec=protobuf', form: 'binary' });
  const point = (longitude, latitude) => {
    const bytes = Buffer.alloc(18);
    bytes[0] = 9;
    bytes.writeDoubleLE(longitude, 1);
    bytes[9] = 17;
    bytes.writeDoubleLE(latitude, 10);
    return bytes;
  };
  const box = (west, south, east, north) =>
    Buffer.concat([Buffer.from([10, 18]), point(west, south), Buffer.from([18, 18]), point(east, north)]);
  page.send(VIEWPORT, box(24.9, 60.1, 25, 60.2));
  const first = readBatch(await page.nextType(VEHICLES));
  assert.deepEqual(first, { reset: true, left: [], vehicles: [{ id: '0040.00401', lat: 60170000, lon: 24940000, mode: 1, line: '4' }] });
  await tell(broker, { operator: '0040', vehicle: '00401', at: at + 1000, lat: 60.18, long: 24.94, mode: 'tram', line: '4' });
  assert.equal(readBatch(await page.nextType(VEHICLES)).vehicles[0].lat, 60180000);
  await tell(broker, { operator: '0040', vehicle: '00401', at: at + 2000, lat: 60.22, long: 24.94, mode: 'tram', line: '4' });
  assert.deepEqual(readBatch(await page.nextType(VEHICLES)), { reset: false, vehicles: [], left: ['0040.00401'] });
});
