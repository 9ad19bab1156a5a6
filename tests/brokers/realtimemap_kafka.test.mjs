// The bus map as it runs on several nodes, with the configuration that ships: MQTT -> relay -> Kafka -> every node.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { buildDir, root, startCrier, startedOrSkipped, until } from '../lib/crier.mjs';
import { HfpModel, readLine } from '../lib/hfp_model.mjs';
import { startKafka } from '../lib/kafka.mjs';
import { missing, startMosquitto } from '../lib/mosquitto.mjs';

async function brokers(t) {
  const kafka = await startedOrSkipped(t, startKafka, 'Kafka');
  const mosquitto = kafka && (await startedOrSkipped(t, startMosquitto, 'mosquitto'));
  if (!mosquitto) return null;
  await kafka.createTopic('hfp', 1);
  await kafka.createTopic('hfp.dlq', 1);
  return { kafka, mosquitto };
}

const config = ({ kafka, mosquitto }) => readFileSync(join(root, 'examples/realtimemap/kafka.toml'), 'utf8')
  .replaceAll('mqtt://127.0.0.1:1883', mosquitto.url).replaceAll('127.0.0.1:9092', kafka.bootstrap)
  .replace('interval_ms = 500', 'interval_ms = 0').replace('web = "../../web"', '');

/** Ten vehicles, a message a second each, every tenth twice. */
function recording(from, to) {
  const lines = [];
  for (let second = from; second < to; second++) {
    for (let i = 0; i < 10; i++) {
      const at = new Date(Date.now() - 600000 + second * 1000).toISOString();
      const body = { desi: String(500 + i), tst: `2026-03-01T12:${String(Math.floor(second / 60)).padStart(2, '0')}:${String(second % 60).padStart(2, '0')}.000Z`,
        spd: 5, hdg: 90, lat: 60.16 + second * 0.0005, long: 24.95 + i * 0.0005, drst: 0, dl: 0, oper: 18, veh: i, occu: 0 };
      const line = `${at} /hfp/v2/journey/ongoing/vp/bus/0018/0000${i}/1500/1/Kallio/11:26/1291406/5/60;24/19/72/15 ${JSON.stringify({ VP: body })}`;
      lines.push(line, ...((second + i) % 10 === 0 ? [line] : []));
    }
  }
  return lines;
}

async function replay(mosquitto, dir, lines) {
  const file = join(dir, 'recording.dump');
  writeFileSync(file, lines.join('\n') + '\n');
  const child = spawn(join(buildDir, 'crier-hfp'), ['replay', file, '--speed', '0', '--qos', '1', '--to', mosquitto.url], { stdio: 'ignore' });
  assert.equal(await new Promise((done) => child.on('close', done)), 0);
}

const status = async (server) => (await server.get('/api/map/status')).json;
const total = ({ messages }) => Object.values(messages).reduce((sum, n) => sum + n, 0);

/** What a node knows: outcomes of the messages, vehicles, trails, crossings. */
async function knowledge(node) {
  const { features } = JSON.parse((await node.get('/api/vehicles')).text);
  const trails = {};
  for (const { id } of features) trails[id] = (await node.get(`/api/trail/${id}`)).json.positions;
  const { publications } = (await node.get('/channels/geofence:0018?since=x:0&limit=1000')).json;
  return { messages: (await status(node)).messages, trails, vehicles: features.sort((x, y) => (x.id < y.id ? -1 : 1)),
    crossings: publications.map((p) => p.data) };
}

/** Messages of one vehicle may overtake each other between the relays of two nodes; what is older than the newest is late. */
function agreesWith(model, { messages, vehicles }) {
  assert.equal(messages.repeated, model.outcomes.repeated);
  assert.equal(messages.changed + messages.late, model.outcomes.changed + model.outcomes.late);
  assert.deepEqual(vehicles.map((v) => [v.id, v.properties.timestamp]), model.placed().map((v) => [v.key, v.time]));
}

test('two nodes share the feed, know the same, and clients go on at the other by offsets of Kafka', { skip: missing }, async (t) => {
  const both = await brokers(t);
  if (!both) return;
  const model = new HfpModel();
  const [first, second] = [recording(0, 40), recording(40, 80)];
  const a = await startCrier({ t, config: config(both) });
  const b = await startCrier({ t, config: config(both) });
  await Promise.all([a, b].map((node) => node.waitUntilReady(60000)));
  const arrived = async (n) => {
    for (const node of [a, b]) await until(async () => total(await status(node)) >= n, `${n} messages`, 60000);
  };
  const feed = async (lines) => {
    lines.map(readLine).forEach((message) => model.take(message));
    await replay(both.mosquitto, a.dir, lines);
  };

  const client = await a.typed();
  await client.subscribe('vehicles:all');
  await feed(first);
  await arrived(first.length);
  const known = await knowledge(a);
  assert.deepEqual(await knowledge(b), known);
  agreesWith(model, known); // each message once, although two relays read the feed
  const publications = await client.publications('vehicles:all', known.messages.changed, 30000);
  const { epoch } = (await a.get('/channels/vehicles:all?limit=1')).json;

  // The client's node dies; at the other it resumes where it was.
  await a.kill();
  const resumed = await b.typed();
  const answer = await resumed.subscribe('vehicles:all', { epoch, offset: publications.at(-6).offset });
  assert.equal(answer.recovered, true);
  const missed = await resumed.publications('vehicles:all', 5);
  assert.deepEqual(missed.map((m) => [m.offset, m.payload]), publications.slice(-5).map((m) => [m.offset, m.payload]));

  // It comes back, knows from the topic what it knew, and takes its part of the feed again.
  await a.start();
  await a.waitUntilReady(60000);
  assert.deepEqual(await knowledge(a), known);
  await feed(second);
  await arrived(first.length + second.length);
  const all = await knowledge(a);
  assert.deepEqual(await knowledge(b), all);
  agreesWith(model, all);
  assert.ok(all.crossings.length > 0);
});
