// crier between browsers and a real Kafka: one order, the broker's own offsets as positions, faults on either side.
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { startCrier, startedOrSkipped, until, sleep } from '../lib/crier.mjs';
import { startKafka } from '../lib/kafka.mjs';
import { TYPE } from '../lib/typed.mjs';

const run = promisify(execFile);

const kafkaFor = (t, options) => startedOrSkipped(t, () => startKafka(options), 'Kafka');

const config = (kafka, namespace = {}, source = {}) => ({
  limits: { publish_timeout_ms: 3000, rate_messages: 0 },
  bridge: [{ name: 'kafka', driver: 'kafka', servers: kafka.bootstrap }],
  namespace: [{ name: 'chat', history: 1000, history_ttl: '24h', publish: true, ...namespace }],
  source: [{ bridge: 'kafka', topic: 'chat', from: 'history', channel: 'chat:{key}', dead_letter: 'chat.dlq', ...source }],
  sink: [{ channel: 'chat:*', bridge: 'kafka', topic: 'chat', key: '{channel.1}' }],
});

const ready = (crier) => crier.waitUntilReady(30000);

async function kcat(...args) {
  const { stdout } = await run('kcat', args, { maxBuffer: 1 << 26 });
  return stdout.split('\n').filter(Boolean);
}

const offsetsIn = (kafka, topic, partition) =>
  kcat('-b', kafka.bootstrap, '-C', '-t', topic, '-p', String(partition), '-o', 'beginning', '-e', '-q', '-f', '%o %k %s\n');

/** Takes publications of a channel until `count` came; [offset, payload] each. */
async function take(client, count, ms = 20000) {
  const got = [];
  while (got.length < count) {
    const m = await client.next((x) => x.channel !== undefined, `publication ${got.length + 1} of ${count}`, ms);
    got.push([m.offset, m.payload]);
  }
  return got;
}

test('publications go through Kafka: acknowledged, ordered, with its offsets and keys', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 3);
  const crier = await startCrier({ t, config: config(kafka) });
  await ready(crier);
  const [a, b] = [await crier.typed(), await crier.typed({ form: 'string' })];
  await a.subscribe('chat:lobby');
  await b.subscribe('chat:lobby');
  const acks = [];
  for (let i = 0; i < 20; i++) acks.push(await a.publish('chat:lobby', { n: i }));
  const atA = await take(a, 20), atB = await take(b, 20);
  assert.deepEqual(atA, atB);
  assert.deepEqual(atA.map(([, p]) => p.n), [...Array(20).keys()]);
  assert.deepEqual(atA.map(([offset]) => offset), acks.map((ack) => ack.offset));
  const inKafka = await offsetsIn(kafka, 'chat', acks[0].partition);
  assert.deepEqual(inKafka, atA.map(([offset, p]) => `${offset} lobby ${JSON.stringify(p)}`));
});

test('a resume survives SIGKILL of crier, and what memory does not have is read from Kafka', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 2);
  const crier = await startCrier({ t, config: config(kafka, { history: 5 }) });
  await ready(crier);
  const a = await crier.typed();
  await a.subscribe('chat:lobby');
  const other = await crier.typed();
  for (let i = 0; i < 30; i++) {
    await other.publish('chat:lobby', { n: i });
    await other.publish('chat:dev', { other: i });
  }
  const before = await take(a, 30);
  const { epoch } = await (await crier.typed()).subscribe('chat:lobby');
  for (const kill of [false, true]) {
    if (kill) {
      await crier.kill();
      await crier.start();
      await ready(crier);
    }
    for (const seen of [2, 17, 26, 29]) {
      const c = await crier.typed();
      const answer = await c.subscribe('chat:lobby', { epoch, offset: before[seen][0] });
      assert.equal(answer.recovered, true, `from ${seen}, ${kill ? 'after' : 'before'} the kill`);
      assert.equal(answer.epoch, epoch);
      assert.deepEqual(await take(c, 29 - seen), before.slice(seen + 1));
    }
  }
  const late = await crier.typed();
  await late.subscribe('chat:lobby', { epoch, offset: before[29][0] });
  const ack = await late.publish('chat:lobby', { n: 30 });
  assert.deepEqual(await take(late, 1), [[ack.offset, { n: 30 }]]);
});

test('a resume from before the retention is answered with recovered: false', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  const crier = await startCrier({ t, config: config(kafka, { history: 3 }) });
  await ready(crier);
  const a = await crier.typed();
  const { epoch } = await a.subscribe('chat:lobby');
  for (let i = 0; i < 10; i++) await a.publish('chat:lobby', { n: i });
  await kafka.trim('chat', 0, 4);
  const lost = await crier.typed({ form: 'string' }); // no loop has frames of this form in memory
  const answer = await lost.subscribe('chat:lobby', { epoch, offset: 1, history: 2 });
  assert.equal(answer.recovered, false);
  assert.deepEqual((await take(lost, 2)).map(([, p]) => p.n), [8, 9]);
  const kept = await crier.typed();
  assert.equal((await kept.subscribe('chat:lobby', { epoch, offset: 4 })).recovered, true);
  assert.deepEqual((await take(kept, 5)).map(([, p]) => p.n), [5, 6, 7, 8, 9]);
});

test('SIGKILL of Kafka in a stream: what was acknowledged is there afterwards, once, and crier carries on', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  const crier = await startCrier({ t, config: config(kafka) });
  await ready(crier);
  const reader = await crier.typed();
  await reader.subscribe('chat:lobby');
  const writer = await crier.typed();
  const acked = [], refused = [];
  let n = 0, writing = true;
  const stream = (async () => {
    while (writing) {
      const id = n++;
      writer.publish('chat:lobby', { n: id }).then(() => acked.push(id), (error) => refused.push([id, error.code]));
      await sleep(5);
    }
  })();
  await sleep(500);
  await kafka.kill();
  await until(async () => (await crier.get('/readyz')).status === 503, 'not ready', 20000);
  assert.match((await crier.get('/readyz')).text, /bridge kafka is/);
  await sleep(500);
  await kafka.restart();
  await ready(crier);
  await sleep(1500);
  writing = false;
  await stream;
  await until(() => acked.length + refused.length === n, 'every publish is answered', 20000);
  for (const [, code] of refused) assert.ok([120, 121, 124].includes(code), `code ${code}`);
  assert.ok(acked.length > 100, `${acked.length} acknowledged`);
  const stored = (await offsetsIn(kafka, 'chat', 0)).map((line) => JSON.parse(line.split(' ')[2]).n);
  assert.equal(new Set(stored).size, stored.length, 'nothing twice in the topic');
  for (const id of acked) assert.ok(stored.includes(id), `${id} was acknowledged`);
  const seen = (await take(reader, stored.length)).map(([, p]) => p.n);
  assert.deepEqual(seen, stored);
});

test('while Kafka is frozen nothing is acknowledged, and late answers are called unknown', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  const crier = await startCrier({ t, config: config(kafka) });
  await ready(crier);
  const a = await crier.typed();
  await a.publish('chat:lobby', { n: 0 });
  kafka.pause();
  const began = Date.now();
  const answer = await a.request(TYPE.publish, { channel: 'chat:lobby', data: { n: 1 } }, 20000);
  assert.equal(answer.type, TYPE.error);
  assert.equal(answer.error.code, 120);
  assert.match(answer.error.message, /unknown|time/i);
  assert.ok(Date.now() - began >= 2500);
  kafka.cont();
  await until(() => a.publish('chat:lobby', { n: 2 }).then(() => true, () => false), 'publishing again', 30000);
});

test('Kafka away at start: the server is up, says why it is not ready, and carries on when it comes', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  await kafka.kill();
  const crier = await startCrier({ t, config: config(kafka) });
  const a = await crier.typed();
  const answer = await crier.get('/readyz');
  assert.equal(answer.status, 503);
  assert.match(answer.text, /bridge kafka is connecting/);
  const refused = await a.request(TYPE.publish, { channel: 'chat:lobby', data: 1 }, 20000);
  assert.equal(refused.type, TYPE.error);
  assert.ok(refused.error.temporary);
  await kafka.restart();
  await ready(crier);
  await a.subscribe('chat:lobby');
  const ack = await a.publish('chat:lobby', { n: 1 });
  assert.deepEqual(await take(a, 1), [[ack.offset, { n: 1 }]]);
});

test('a record that no channel can take goes to the dead-letter topic with the reason, and the partition goes on', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  await kafka.createTopic('chat.dlq', 1);
  const crier = await startCrier({ t, config: config(kafka) });
  await ready(crier);
  const a = await crier.typed();
  await a.subscribe('chat:lobby');
  await run('sh', ['-c', `printf 'lobby:{"n":1}\\nbad name!:{"n":2}\\nlobby:{"n":3}\\n' | kcat -b ${kafka.bootstrap} -P -t chat -K : -p 0`]);
  assert.deepEqual(await take(a, 2), [[0, { n: 1 }], [2, { n: 3 }]]);
  await until(async () => (await crier.metrics()).value('crier_dead_letters_total') === 1, 'dead letter');
  const [letter] = await kcat('-b', kafka.bootstrap, '-C', '-t', 'chat.dlq', '-o', 'beginning', '-e', '-q', '-f', '%k|%s|%h\n');
  assert.match(letter, /^bad name!\|{"n":2}\|/);
  for (const part of ['dlq.reason=', 'dlq.source.topic=chat', 'dlq.source.partition=0', 'dlq.source.offset=1'])
    assert.ok(letter.includes(part), `${part} in ${letter}`);
});

test('a channel fed by several partitions numbers itself, under an epoch of its own', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('prices', 3);
  const crier = await startCrier({ t, config: {
    ...config(kafka), source: [{ bridge: 'kafka', topic: 'prices', from: 'history', channel: 'chat:prices' }], sink: [],
  } });
  await ready(crier);
  const a = await crier.typed();
  await a.subscribe('chat:prices');
  for (const partition of [0, 1, 2, 0])
    await run('sh', ['-c', `echo '{"p":${partition}}' | kcat -b ${kafka.bootstrap} -P -t prices -p ${partition}`]);
  assert.deepEqual((await take(a, 4)).map(([offset]) => offset), [1, 2, 3, 4]);
});

test('traceparent goes through in both directions', async (t) => {
  const kafka = await kafkaFor(t);
  if (!kafka) return;
  await kafka.createTopic('chat', 1);
  const crier = await startCrier({ t, config: config(kafka) });
  await ready(crier);
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await run('sh', ['-c', `echo '{"n":1}' | kcat -b ${kafka.bootstrap} -P -t chat -k lobby -H traceparent=${trace}`]);
  await until(async () => (await crier.get('/channels/chat:lobby')).json?.publications.length === 1, 'publication');
  const [publication] = (await crier.get('/channels/chat:lobby')).json.publications;
  assert.equal(publication.tags.traceparent, trace);
  const reply = await crier.request('POST', '/channels/chat:lobby', { json: { n: 2 }, headers: { traceparent: trace } });
  assert.equal(reply.status, 200);
  const lines = await kcat('-b', kafka.bootstrap, '-C', '-t', 'chat', '-o', 'beginning', '-e', '-q', '-f', '%o %h\n');
  assert.ok(lines[1].includes('traceparent=00-0af7651916cd43dd8448eb211c80319c-'), lines[1]);
});
