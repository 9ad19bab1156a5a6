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
