// crier between browsers and a real mosquitto: wildcard sources, retained values, publishes back, and a relay into Kafka.
import test from 'node:test';
import assert from 'node:assert/strict';
import { startCrier, startedOrSkipped, until } from '../lib/crier.mjs';
import { startKafka } from '../lib/kafka.mjs';
import { startMosquitto, pub, sub } from '../lib/mosquitto.mjs';
import { TYPE } from '../lib/typed.mjs';

const config = (mosquitto, more = {}) => ({
  limits: { publish_timeout_ms: 3000, rate_messages: 0 },
  bridge: [{ name: 'mqtt', driver: 'mqtt', servers: mosquitto.url, options: { reconnect_max: 1 } }],
  namespace: [{ name: 'bus', history: 100, publish: true }, { name: 'vehicles', keyed: true, history: 1000, behind: 'conflate' }],
  source: [
    { bridge: 'mqtt', topic: '/hfp/v2/journey/ongoing/vp/+/#', channel: 'bus:{topic.6}', key: '{topic.7}.{topic.8}', qos: 1,
      tags: { line: '{payload.VP.desi}' } },
    { bridge: 'mqtt', topic: 'state/+', channel: 'vehicles:state', key: '{topic.1}', qos: 1 },
  ],
  sink: [{ channel: 'bus:*', bridge: 'mqtt', topic: 'out/{channel.1}', qos: 1 }],
  ...more,
});

const ready = (crier) => crier.waitUntilReady(30000);
const topicOf = (mode, operator, vehicle) => `/hfp/v2/journey/ongoing/vp/${mode}/${operator}/${vehicle}/1065/1/Veräjälaakso/11:55/1111117/5/60;24/19/75/71`;

async function take(client, count, ms = 20000) {
  const got = [];
  while (got.length < count) got.push(await client.next((x) => x.channel !== undefined, `publication ${got.length + 1}`, ms));
  return got;
}

test('a wildcard source: topic levels become channel and key, payload fields become tags', async (t) => {
  const mosquitto = await startedOrSkipped(t, startMosquitto, 'mosquitto');
  if (!mosquitto) return;
  const crier = await startCrier({ t, config: config(mosquitto) });
  await ready(crier);
  const a = await crier.typed();
  await a.subscribe('bus:tram');
  await pub(mosquitto, topicOf('bus', '0018', '01095'), '{"VP":{"desi":"65"}}', '-q', '1');
  await pub(mosquitto, topicOf('tram', '0040', '00621'), '{"VP":{"desi":"15"}}', '-q', '1');
  assert.deepEqual((await take(a, 1)).map((m) => m.payload), [{ VP: { desi: '15' } }]);
  const { publications } = (await crier.get('/channels/bus:tram')).json;
  assert.equal(publications[0].key, '0040.00621');
  assert.deepEqual(publications[0].tags, { line: '15' });
  assert.equal((await crier.get('/channels/bus:bus')).json.publications.length, 1);
});

test('retained messages are the first values of a keyed channel, an empty one removes the key', async (t) => {
  const mosquitto = await startedOrSkipped(t, startMosquitto, 'mosquitto');
  if (!mosquitto) return;
  for (const [name, value] of [['a', 1], ['b', 2]]) await pub(mosquitto, `state/${name}`, `{"v":${value}}`, '-r', '-q', '1');
  const crier = await startCrier({ t, config: config(mosquitto) });
  await ready(crier);
  await until(async () => (await crier.get('/channels/vehicles:state')).json?.publications.length === 2, 'retained values');
  const a = await crier.typed();
  assert.equal((await a.subscribe('vehicles:state')).publications, 2);
  assert.deepEqual((await take(a, 2)).map((m) => m.payload.v).sort(), [1, 2]);
  await pub(mosquitto, 'state/b', '{"v":3}', '-r', '-q', '1');
  assert.deepEqual((await take(a, 1)).map((m) => m.payload), [{ v: 3 }]);
});

test('a publish is acknowledged after PUBACK and reaches MQTT; frozen broker: unknown, never ok', async (t) => {
  const mosquitto = await startedOrSkipped(t, startMosquitto, 'mosquitto');
  if (!mosquitto) return;
  const crier = await startCrier({ t, config: config(mosquitto) });
  await ready(crier);
  const a = await crier.typed();
  const received = await sub(mosquitto, 'out/#', '-q', '1', '-C', '1', '-W', '20');
  const ok = await a.request(TYPE.publish, { channel: 'bus:tram', data: { hello: 1 } });
  assert.equal(ok.type, TYPE.ok);
  await until(() => /hello/.test(JSON.stringify(received.lines)), 'the message in MQTT');
  mosquitto.pause();
  const late = await a.request(TYPE.publish, { channel: 'bus:tram', data: 2 }, 20000);
  assert.equal(late.error?.code, 120);
  mosquitto.cont();
});

test('mosquitto away at start and killed in the middle: up, honest, and back by itself', async (t) => {
  const mosquitto = await startedOrSkipped(t, startMosquitto, 'mosquitto');
  if (!mosquitto) return;
  await mosquitto.kill();
  const crier = await startCrier({ t, config: config(mosquitto) });
  assert.equal((await crier.get('/readyz')).status, 503);
  await mosquitto.restart();
  await ready(crier);
  const a = await crier.typed();
  await a.subscribe('bus:tram');
  await pub(mosquitto, topicOf('tram', '0040', '1'), '{"VP":{"n":1}}', '-q', '1');
  assert.equal((await take(a, 1))[0].payload.VP.n, 1);
  await mosquitto.kill();
  await until(async () => (await crier.get('/readyz')).status === 503, 'not ready', 20000);
  await mosquitto.restart();
  await ready(crier);
  await pub(mosquitto, topicOf('tram', '0040', '1'), '{"VP":{"n":2}}', '-q', '1');
  assert.equal((await take(a, 1))[0].payload.VP.n, 2);
});

test('a relay moves MQTT into Kafka, keyed, and clients resume from Kafka', async (t) => {
  const mosquitto = await startedOrSkipped(t, startMosquitto, 'mosquitto');
  const kafka = mosquitto && (await startedOrSkipped(t, startKafka, 'Kafka'));
  if (!kafka) return;
  await kafka.createTopic('hfp', 2);
  const crier = await startCrier({ t, config: {
    limits: { rate_messages: 0 },
    bridge: [{ name: 'mqtt', driver: 'mqtt', servers: mosquitto.url, options: { reconnect_max: 1 } },
      { name: 'kafka', driver: 'kafka', servers: kafka.bootstrap }],
    namespace: [{ name: 'vehicle', history: 5, history_ttl: '24h' }],
    source: [{ bridge: 'kafka', topic: 'hfp', from: 'history', channel: 'vehicle:{key}' }],
    relay: [{ from_bridge: 'mqtt', from_topic: '/hfp/#', to_bridge: 'kafka', to_topic: 'hfp', key: '{topic.7}.{topic.8}', qos: 1 }],
  } });
  await ready(crier);
  const a = await crier.typed();
  const { epoch: none } = await a.subscribe('vehicle:0040.00621');
  for (let n = 0; n < 20; n++) {
    await pub(mosquitto, topicOf('tram', '0040', '00621'), `{"VP":{"n":${n}}}`, '-q', '1');
    if (n % 5 === 0) await pub(mosquitto, topicOf('bus', '0018', '01095'), `{"VP":{"n":${n}}}`, '-q', '1');
  }
  const got = await take(a, 20);
  assert.deepEqual(got.map((m) => m.payload.VP.n), [...Array(20).keys()]);
  await until(async () => (await crier.metrics()).value('crier_relay_records_total') >= 24, 'all 24 acknowledged');
  const b = await crier.typed();
  const { epoch } = await b.subscribe('vehicle:0040.00621');
  assert.notEqual(epoch, '', `known now, was "${none}"`);
  await crier.kill();
  await crier.start();
  await ready(crier);
  const c = await crier.typed();
  const answer = await c.subscribe('vehicle:0040.00621', { epoch, offset: got[2].offset });
  assert.equal(answer.recovered, true);
  assert.deepEqual((await take(c, 17)).map((m) => m.payload.VP.n), got.slice(3).map((m) => m.payload.VP.n));
});
