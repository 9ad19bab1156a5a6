// The unmodified client library through SIGKILL of the server: each client has every publication once, in order, at the
// broker's own offset. CRIER_FULL=1: a thousand clients and 500 publishes a second for a minute.
import assert from 'node:assert/strict';
import test from 'node:test';
import { channelsClient } from '../lib/channels.mjs';
import { API_KEY, sleep, slowness, startCrier, until } from '../lib/crier.mjs';
import { randomFrom } from '../lib/journal.mjs';
import { startKafka } from '../lib/kafka.mjs';

const full = process.env.CRIER_FULL === '1';
const seed = Number(process.env.SEED ?? Date.now() % 1000000);
const CLIENTS = full ? 1000 : 100;
const SECONDS = full ? 60 : 6;
const RATE = full ? 500 : 200;
const CHANNEL = 'chat:lobby';

const config = (bridge) => ({
  limits: { rate_messages: 0, handshakes_per_second: 0, publish_timeout_ms: 3000 },
  log: { level: 'info' },
  namespace: [{ name: 'chat', history: 200 }], // what is missed is read from the broker
  bridge: [{ name: 'log', ...bridge }],
  source: [{ bridge: 'log', topic: 'chat', channel: 'chat:{key}', from: 'history' }],
  sink: [{ channel: 'chat:*', bridge: 'log', topic: 'chat', key: '{channel.1}' }],
});

/** A client of the library whose publications are kept as [offset, n]. */
async function reader(server) {
  const client = await channelsClient(null, server, { timeout: 10000, maxReconnectDelay: 500 });
  const sub = client.newSubscription(CHANNEL, { minResubscribeDelay: 20, maxResubscribeDelay: 500 });
  const r = { client, sub, got: [], answers: [], unrecovered: 0, resumes: 0 };
  sub.on('publication', ({ offset, data }) => r.got.push([offset, data]));
  sub.on('subscribed', ({ wasRecovering, recovered }) => {
    r.resumes += wasRecovering;
    r.unrecovered += wasRecovering && !recovered;
    r.answers.push({ recovered, after: r.got.at(-1) });
  });
  sub.subscribe();
  await sub.ready(10000 * slowness);
  return r;
}

/** Publishes 1, 2, 3, ... until stopped; each until it is acknowledged, under an id of its own. */
async function writer(server, state) {
  const post = async (n) => {
    const json = { channel: CHANNEL, data: n, idempotency_key: `n${n}` };
    const reply = await server.request('POST', '/api/publish', { json, headers: { 'X-API-Key': API_KEY } });
    return reply.status === 200 && reply.json.result;
  };
  const begin = Date.now();
  for (let n = 1; !state.stop; n++) {
    while (!(await post(n).catch(() => null))) await sleep(20);
    state.written = n;
    const ahead = (n * 1000) / RATE - (Date.now() - begin);
    if (ahead > 0) await sleep(ahead);
  }
}

async function disturb(readers, state, random) {
  while (!state.stop) {
    const { client } = readers[Math.floor(random() * readers.length)];
    if (random() < 0.5) client._transport?.close();
    else {
      client.disconnect();
      client.connect();
    }
    await sleep(20);
  }
}

async function storm(t, bridge, shift) {
  t.diagnostic(`SEED=${seed}`);
  const server = await startCrier({ t, config: config(bridge) });
  const ready = () => until(async () => (await server.get('/readyz').catch(() => null))?.status === 200, 'ready', 30000);
  await ready();
  const readers = [];
  for (let i = 0; i < CLIENTS; i += 50) readers.push(...await Promise.all(Array.from({ length: 50 }, () => reader(server))));
  t.after(() => readers.forEach((r) => r.client.disconnect()));
  const state = { stop: false, written: 0 };
  const work = [writer(server, state), disturb(readers, state, randomFrom(seed))];
  for (const part of [1, 2]) {
    await sleep((SECONDS * 1000) / 3);
    await server.kill();
    await server.start();
    await ready();
    assert.ok(state.written > 0, `round ${part}`);
  }
  await sleep((SECONDS * 1000) / 3);
  state.stop = true;
  await Promise.all(work);
  await until(() => readers.every((r) => r.got.length >= state.written), `all ${state.written} everywhere`, 60000);
  await sleep(200); // what came twice would come now
  for (const [i, r] of readers.entries()) {
    const odd = r.got.findIndex(([, n], at) => n !== at + 1);
    const around = odd < 0 ? '' : JSON.stringify(r.got.slice(Math.max(0, odd - 4), odd + 6));
    assert.ok(odd < 0, `client ${i}: [offset, n] ${around} and not each once, in order; subscribed: ${JSON.stringify(r.answers)}`);
    assert.equal(r.got.length, state.written);
    assert.equal(r.unrecovered, 0);
  }
  const first = readers[0].got;
  assert.ok(readers.every((r) => r.got.every(([offset], i) => offset === first[i][0])));
  const stored = await server.api('history', { channel: CHANNEL, limit: 100 });
  for (const p of stored.publications) assert.equal(first[p.data - 1][0], p.offset + shift, 'offsets of the broker');
  const resumes = readers.reduce((sum, r) => sum + r.resumes, 0);
  assert.ok(resumes >= CLIENTS * 2);
  t.diagnostic(`${state.written} publications to ${CLIENTS} clients, ${resumes} resumes`);
}

test('embedded log', (t) => storm(t, { driver: 'embedded', servers: 'data/log.db' }, 0));

test('Kafka', async (t) => {
  let kafka;
  try {
    kafka = await startKafka();
  } catch (error) {
    if (!error.skip) throw error;
    t.skip(`Kafka: ${error.skip}`);
    return;
  }
  t.after(() => kafka.stop());
  await kafka.createTopic('chat', 1);
  await storm(t, { driver: 'kafka', servers: kafka.bootstrap }, 1); // Kafka counts from 0, which is "none" on the wire
});
