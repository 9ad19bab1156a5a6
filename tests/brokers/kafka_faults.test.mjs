// The kafka driver when the broker is away, killed, frozen or refuses us.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isAvailable, startKafka } from '../lib/kafka.mjs';
import { startCrier } from '../lib/crier.mjs';
import { Probe, sleep, until } from '../lib/probe.mjs';

const skip = !(await isAvailable()) && 'java or mvn is not installed';

describe('kafka faults', { skip }, () => {
  let kafka;
  const probes = [];
  const probe = (settings = {}) => {
    const p = new Probe('kafka', { servers: kafka.bootstrap, node: 'n1', ...settings });
    probes.push(p);
    return p;
  };

  before(async () => {
    kafka = await startKafka({ secure: true });
  });
  after(async () => {
    kafka?.cont();
    for (const p of probes) if (!p.exited) await p.close(1000);
    await kafka?.stop();
  });

  /** Publishes one after the other until stopped; gives what was sent with its outcome. */
  function stream(p, topic) {
    const sent = [];
    let on = true;
    const run = (async () => {
      for (let i = 0; on; i++) {
        const payload = `m${i}`;
        sent.push(p.publish({ topic, payload }, 60000).then((receipt) => ({ payload, ...receipt })));
        await sleep(2);
      }
      return Promise.all(sent);
    })();
    return { stop: () => { on = false; return run; } };
  }

  test('a broker that is away at the start: connecting with a reason, then everything works by itself', async () => {
    await kafka.createTopic('away', 1);
    await kafka.kill();
    const p = probe({ publishTimeout: 1500 });
    const connecting = await p.when(() => p.state?.reason && p.state, 'a reason');
    assert.equal(connecting.state, 'connecting');
    assert.match(connecting.reason, /Connection refused/);
    p.subscribe('s', { topic: 'away', from: 'earliest' });
    const read = p.read({ topic: 'away', partition: 0, from: 0 }, 30000);
    const lost = await p.publish({ topic: 'away', payload: 'lost' });
    assert.equal(lost.outcome, 'retryable', 'it never left');
    await kafka.restart();
    await p.reached('ready', 30000);
    assert.equal((await p.publish({ topic: 'away', payload: 'kept' })).outcome, 'stored');
    assert.deepEqual((await p.received('s', 1)).map((r) => r.payload), ['kept']);
    const result = await read;
    assert.ok(result.error === 0 || result.error === -110, 'the early read was answered');
    await p.close();
    const refusedLines = p.stderr.split('\n').filter((line) => line.includes('refused')).length;
    assert.ok(refusedLines <= 6, `the log is not flooded (${refusedLines} lines)`);
  });

  test('SIGKILL and restart in a stream: no acknowledged record is lost, the reader sees each once and in order', async () => {
    await kafka.createTopic('killed', 1);
    const writer = probe();
    const reader = probe();
    reader.subscribe('s', { topic: 'killed', from: 'latest' });
    await reader.event({ event: 'caught_up', id: 's' });
    const publishing = stream(writer, 'killed');
    await reader.received('s', 100);
    await kafka.kill();
    const degraded = await reader.reached('degraded');
    assert.match(degraded.reason, /brokers do not answer/);
    await kafka.restart();
    await reader.reached('ready', 30000);
    const before = reader.records('s').length;
    await reader.received('s', before + 200, 30000);
    const sent = await publishing.stop();
    const stored = sent.filter((r) => r.outcome === 'stored');
    assert.ok(stored.length > 300);
    await reader.when(() => reader.records('s').at(-1).offset >= stored.at(-1).offset, 'the last stored record');
    const byOffset = new Map(reader.records('s').map((r) => [r.offset, r.payload]));
    for (const r of stored) assert.equal(byOffset.get(r.offset), r.payload, 'an acknowledged record is where its receipt says');
    const offsets = reader.records('s').map((r) => r.offset);
    assert.deepEqual(offsets, offsets.map((_, i) => offsets[0] + i), 'each once, in order, without a hole');
    assert.equal(new Set(byOffset.values()).size, byOffset.size, 'idempotence: nothing is stored twice');
    await writer.close();
    await reader.close();
  });

  test('SIGSTOP: nothing is acknowledged while the broker is frozen, what was sent ends as unknown', async () => {
    await kafka.createTopic('frozen', 1);
    const p = probe({ publishTimeout: 3000 });
    p.subscribe('s', { topic: 'frozen', from: 'latest' });
    await p.event({ event: 'caught_up', id: 's' });
    assert.equal((await p.publish({ topic: 'frozen', payload: 'before' })).outcome, 'stored');
    kafka.pause();
    const start = Date.now();
    const receipt = await p.publish({ topic: 'frozen', payload: 'during' }, 15000);
    const took = Date.now() - start;
    assert.equal(receipt.outcome, 'unknown');
    assert.ok(took >= 2500 && took < 15000, `answered after ${took} ms`);
    assert.equal((await p.reached('degraded', 15000)).state, 'degraded');
    kafka.cont();
    await p.reached('ready', 30000);
    const again = await until(async () => {
      const r = await p.publish({ topic: 'frozen', payload: 'after' }, 15000);
      return r.outcome === 'stored' && r;
    }, 'a publish that is stored again', 30000);
    await p.when(() => p.records('s').some((r) => r.offset === again.offset), 'the record after');
    assert.deepEqual(p.records('s').filter((r) => r.payload === 'before').length, 1);
    await p.close();
  });

  test('close while the broker is frozen ends at the deadline and answers everything', async () => {
    await kafka.createTopic('stuck', 1);
    const p = probe({ publishTimeout: 60000 });
    p.subscribe('s', { topic: 'stuck', from: 'latest' });
    p.subscribe('g', { topic: 'stuck', from: 'latest', group: 'stuck' });
    await p.event({ event: 'caught_up', id: 's' });
    await p.event({ event: 'caught_up', id: 'g' });
    await p.publish({ topic: 'stuck', payload: 'before' });
    kafka.pause();
    p.send('publish', { id: 'x', topic: 'stuck', payload: 'm', repeat: 50 });
    p.send('read', { id: 'r', topic: 'stuck', partition: 0, from: 0 });
    await sleep(300);
    const start = Date.now();
    await p.close(2000);
    const took = Date.now() - start;
    kafka.cont();
    const outcomes = p.all({ event: 'published', id: 'x' }).map((e) => e.outcome);
    assert.equal(outcomes.length, 50);
    assert.ok(outcomes.every((o) => o === 'unknown'));
    assert.equal(p.all({ event: 'read', id: 'r' }).length, 1);
    assert.ok(took < 9000, `closed after ${took} ms`);
  });

  for (const fault of ['pause', 'kill'])
    test(`SIGTERM with publishes under way ends crier in its time, Kafka ${fault === 'pause' ? 'frozen' : 'killed'}`, async (t) => {
      await kafka.createTopic(`end-${fault}`, 3);
      const crier = await startCrier({ t, config: {
        limits: { rate_messages: 0 },
        bridge: [{ name: 'kafka', driver: 'kafka', servers: kafka.bootstrap }],
        namespace: [{ name: 'chat', history: 100, publish: true }],
        source: [{ bridge: 'kafka', topic: `end-${fault}`, from: 'history', channel: 'chat:{key}' },
          { bridge: 'kafka', topic: `end-${fault}`, mode: 'shared', group: 'g', channel: 'chat:{key}' }],
        sink: [{ channel: 'chat:*', bridge: 'kafka', topic: `end-${fault}`, key: '{channel.1}' }],
      } });
      await crier.waitUntilReady(60000);
      const client = await crier.typed();
      const publish = (n) => { for (let i = 0; i < 50; i++) client.publish('chat:lobby', { i }, { id: `${n}.${i}` }).catch(() => {}); };
      publish('before');
      await kafka[fault]();
      publish('after');
      await sleep(500);
      const start = Date.now();
      await crier.stop(20000);
      const took = Date.now() - start;
      if (fault === 'pause') kafka.cont();
      else await kafka.restart();
      assert.ok(took < 9500, `5 s for what is under way, then the end: took ${took} ms`);
    });

  test('TLS and SASL are passed through; a wrong password or an unknown authority is a failure with a reason', async () => {
    await kafka.createTopic('secret', 1);
    const options = {
      'security.protocol': 'sasl_ssl', 'sasl.mechanisms': 'PLAIN', 'sasl.username': 'u', 'sasl.password': 'p',
      'ssl.ca.location': join(kafka.dir, 'ca.pem'),
    };
    const good = probe({ servers: kafka.secureBootstrap, options });
    await good.reached('ready');
    assert.equal((await good.publish({ topic: 'secret', payload: 'x' })).outcome, 'stored');
    good.subscribe('s', { topic: 'secret', from: 'earliest' });
    await good.received('s', 1);
    await good.close();
    const wrong = probe({ servers: kafka.secureBootstrap, options: { ...options, 'sasl.password': 'not this' } });
    assert.match((await wrong.reached('failed')).reason, /authentication failed/i);
    assert.ok(!wrong.stderr.includes('not this'), 'the password is not logged');
    await wrong.close();
    const { 'ssl.ca.location': _, ...withoutAuthority } = options;
    const unknown = probe({ servers: kafka.secureBootstrap, options: withoutAuthority });
    assert.match((await unknown.reached('failed')).reason, /certificate verify failed/);
    await unknown.close();
  });

  test('a right password comes back: a failed bridge recovers by itself', async () => {
    const guarded = await startKafka({ secure: true });
    const options = {
      'security.protocol': 'sasl_ssl', 'sasl.mechanisms': 'PLAIN', 'sasl.username': 'u', 'sasl.password': 'q',
      'ssl.ca.location': join(guarded.dir, 'ca.pem'),
    };
    const p = probe({ servers: guarded.secureBootstrap, options });
    await p.reached('failed');
    await guarded.kill();
    guarded.extra = {
      'listener.name.sasl_ssl.plain.sasl.jaas.config':
        'org.apache.kafka.common.security.plain.PlainLoginModule required user_u="q";',
    };
    await guarded.format();
    await guarded.launch();
    await p.reached('ready', 30000);
    await p.close();
    await guarded.stop();
  });
});
