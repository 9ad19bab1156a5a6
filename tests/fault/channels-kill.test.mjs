// The unmodified client library through SIGKILL of the server: each client has every publication once, in order, at the
// broker's own offset. CRIER_FULL=1: a thousand clients and 500 publishes a second for a minute.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { API_KEY, sleep, startCrier, startedOrSkipped, until } from '../lib/crier.mjs';
import { startKafka } from '../lib/kafka.mjs';

const full = process.env.CRIER_FULL === '1';
const seed = Number(process.env.SEED ?? Date.now() % 1000000);
const CLIENTS = full ? 1000 : 100;
const SECONDS = full ? 60 : 6;
const RATE = full ? 500 : 200;
const LANES = full ? 8 : 1; // writers, each with its publishes in order
const WORKERS = full ? 2 : 1;
const CHANNEL = 'chat:lobby';

const config = (bridge) => ({
  limits: { rate_messages: 0, handshakes_per_second: 0, publish_timeout_ms: 3000 },
  log: { level: 'info' },
  namespace: [{ name: 'chat', history: 200 }], // what is missed is read from the broker
  bridge: [{ name: 'log', ...bridge }],
  source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
  sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
});

/** Some of the clients, in a thread of their own. */
class Readers {
  constructor(t, server, index) {
    const workerData = { wsUrl: server.wsUrl, channel: CHANNEL, clients: CLIENTS / WORKERS, seed: seed + index };
    this.worker = new Worker(new URL('../lib/channel_readers.mjs', import.meta.url), { workerData });
    this.messages = [];
    this.worker.on('message', (message) => this.messages.push(message));
    this.worker.on('error', (error) => { this.error = error; });
    t.after(() => this.worker.terminate());
  }

  message(what, ms) {
    return until(() => {
      if (this.error) throw this.error;
      return this.messages.shift();
    }, what, ms);
  }
}

/** Publishes [lane, 1], [lane, 2], ... until stopped; each until it is acknowledged, under an id of its own. */
async function writer(server, state, lane) {
  const post = async (n) => {
    const json = { channel: CHANNEL, data: [lane, n], idempotency_key: `${lane}.${n}` };
    const reply = await server.request('POST', '/api/publish', { json, headers: { 'X-API-Key': API_KEY } });
    return reply.status === 200 && reply.json.result;
  };
  const begin = Date.now();
  for (let n = 1; !state.stop; n++) {
    let stored;
    while (!(stored = await post(n).catch(() => null))) await sleep(20);
    state.offsets[lane][n - 1] = stored.offset;
    const ahead = (n * 1000 * LANES) / RATE - (Date.now() - begin);
    if (ahead > 0) await sleep(ahead);
  }
}

async function storm(t, bridge, shift) {
  t.diagnostic(`SEED=${seed}`);
  const server = await startCrier({ t, config: config(bridge) });
  const ready = () => server.waitUntilReady(30000);
  await ready();
  const workers = Array.from({ length: WORKERS }, (_, i) => new Readers(t, server, i));
  for (const worker of workers) await worker.message('all clients subscribed', 60000);

  const state = { stop: false, offsets: Array.from({ length: LANES }, () => []) };
  const lanes = state.offsets.map((_, lane) => writer(server, state, lane));
  for (const part of [1, 2]) {
    await sleep((SECONDS * 1000) / 3);
    await server.kill();
    await server.start();
    await ready();
    assert.ok(state.offsets[0].length > 0, `round ${part}`);
  }
  await sleep((SECONDS * 1000) / 3);
  state.stop = true;
  await Promise.all(lanes);

  const written = state.offsets.map((offsets) => offsets.length);
  const acknowledged = state.offsets.map((offsets) => offsets.map((offset) => offset + shift));
  const wanted = createHash('sha256').update(JSON.stringify(acknowledged)).digest('hex');
  workers.forEach(({ worker }) => worker.postMessage({ written }));
  let resumes = 0;
  for (const worker of workers) {
    const result = await worker.message('result', full ? 600000 : 120000);
    assert.deepEqual(result.problems, []);
    assert.equal(result.unrecovered, 0);
    assert.equal(result.offsets, wanted, 'at the offsets that were acknowledged');
    resumes += result.resumes;
  }
  assert.ok(resumes >= CLIENTS * 2);
  const stored = await server.api('history', { channel: CHANNEL, limit: 100 });
  for (const { data: [lane, n], offset } of stored.publications) assert.equal(offset, state.offsets[lane][n - 1], 'offsets of the broker');
  t.diagnostic(`${written.reduce((a, b) => a + b)} publications to ${CLIENTS} clients, ${resumes} resumes`);
}

test('embedded log', (t) => storm(t, { driver: 'embedded', servers: 'data/log.db' }, 0));

test('Kafka', async (t) => {
  const kafka = await startedOrSkipped(t, startKafka, 'Kafka');
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  await storm(t, { driver: 'kafka', servers: kafka.bootstrap }, 1); // Kafka counts from 0, which is "none" on the wire
});
