// Shared subscriptions of the kafka driver: groups, rebalancing, commits.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isAvailable, startKafka } from '../lib/kafka.mjs';
import { Probe, sleep, until } from '../lib/probe.mjs';

const skip = !(await isAvailable()) && 'java or mvn is not installed';

describe('kafka groups', { skip }, () => {
  let kafka;
  const probes = [];
  const probe = (node, settings = {}) => {
    const p = new Probe('kafka', { servers: kafka.bootstrap, node, ...settings });
    probes.push(p);
    return p;
  };
  const publish = async (p, topic, from, count) => {
    const sent = [];
    for (let i = from; i < from + count; i++) sent.push(p.publish({ topic, key: `k${i}`, payload: `m${i}` }));
    for (const receipt of await Promise.all(sent)) assert.equal(receipt.outcome, 'stored');
  };
  const payloads = (p, id) => p.records(id).map((r) => r.payload);
  /** Partitions that a subscription holds at the moment. */
  const held = (p, id) => {
    const set = new Set();
    for (const e of p.events) {
      if (e.id !== id) continue;
      if (e.event === 'assigned') set.add(e.partition);
      if (e.event === 'revoked') set.delete(e.partition);
    }
    return [...set].sort();
  };

  before(async () => {
    kafka = await startKafka();
  });
  after(async () => {
    for (const p of probes) if (!p.exited) await p.close();
    await kafka?.stop();
  });

  test('two members divide the partitions, take over from each other, and lose nothing', async () => {
    await kafka.createTopic('work', 4);
    const a = probe('a');
    a.subscribe('s', { topic: 'work', group: 'g1', from: 'earliest', ack: true });
    await publish(a, 'work', 0, 100);
    await a.received('s', 100);
    assert.deepEqual(held(a, 's'), [0, 1, 2, 3]);
    const b = probe('b');
    b.subscribe('s', { topic: 'work', group: 'g1', from: 'earliest', ack: true });
    await until(() => held(a, 's').length === 2 && held(b, 's').length === 2, 'two partitions each', 30000);
    assert.deepEqual([...held(a, 's'), ...held(b, 's')].sort(), [0, 1, 2, 3]);
    await publish(a, 'work', 100, 200);
    await until(() => new Set([...payloads(a, 's'), ...payloads(b, 's')]).size === 300, 'all records');
    assert.equal(payloads(a, 's').length + payloads(b, 's').length, 300, 'nothing twice: what was done was committed');
    assert.ok(payloads(b, 's').length > 20, 'the second member has its share');
    await b.close();
    await until(() => held(a, 's').length === 4, 'the partitions come back', 30000);
    await publish(a, 'work', 300, 100);
    await until(() => new Set([...payloads(a, 's'), ...payloads(b, 's')]).size === 400, 'all records');
    assert.equal(payloads(a, 's').length + payloads(b, 's').length, 400);
    await a.close();
  });

  test('a restart goes on after the last acknowledged record', async () => {
    await kafka.createTopic('resume', 1);
    const a = probe('a');
    a.subscribe('s', { topic: 'resume', group: 'g2', from: 'earliest' });
    await publish(a, 'resume', 0, 50);
    await a.received('s', 50);
    a.send('ack', { id: 's', topic: 'resume', partition: 0, offset: 29 });
    await a.close();
    const b = probe('b');
    b.subscribe('s', { topic: 'resume', group: 'g2', from: 'earliest' });
    const again = await b.received('s', 20);
    assert.deepEqual([again[0].offset, again.length], [30, 20]);
    b.send('ack', { id: 's', topic: 'resume', partition: 0, offset: 34 });
    await sleep(2500); // the commit of every second
    await b.kill();
    const c = probe('c', { options: { 'session.timeout.ms': 6000 } });
    c.subscribe('s', { topic: 'resume', group: 'g2', from: 'earliest' });
    const last = await c.received('s', 15, 60000); // the group waits for the member that was killed
    assert.deepEqual([last[0].offset, last.length], [35, 15]);
    await c.close();
  });

  test('acknowledgements beyond what was handed over are ignored', async () => {
    await kafka.createTopic('liar', 1);
    const a = probe('a');
    a.subscribe('s', { topic: 'liar', group: 'g3', from: 'earliest' });
    await publish(a, 'liar', 0, 10);
    await a.received('s', 10);
    a.send('ack', { id: 's', topic: 'liar', partition: 0, offset: 500 });
    a.send('ack', { id: 's', topic: 'liar', partition: 7, offset: 1 });
    a.send('ack', { id: 's', topic: 'other', partition: 0, offset: 5 });
    await a.close();
    const b = probe('b');
    b.subscribe('s', { topic: 'liar', group: 'g3', from: 'earliest' });
    assert.equal((await b.received('s', 10))[0].offset, 0);
    await b.close();
  });

  test('a new group starts at the end, or at a time, and at the beginning of a topic that comes later', async () => {
    await kafka.createTopic('begin', 1);
    const a = probe('a');
    for (let i = 0; i < 5; i++) await a.publish({ topic: 'begin', payload: `old${i}`, time_ms: 1600000000000 + i * 1000 });
    a.subscribe('latest', { topic: 'begin', group: 'g4', from: 'group' });
    a.subscribe('time', { topic: 'begin', group: 'g5', from: 'time', time_ms: 1600000003000 });
    a.subscribe('later', { topic: 'begin-later', group: 'g6', from: 'group' });
    await a.event({ event: 'caught_up', id: 'latest' });
    await a.event({ event: 'caught_up', id: 'time' });
    assert.match((await a.reached('degraded')).reason, /begin-later/);
    await kafka.createTopic('begin-later', 1);
    await a.publish({ topic: 'begin-later', payload: 'first' });
    await a.publish({ topic: 'begin', payload: 'new' });
    await a.received('latest', 1);
    await a.received('time', 3);
    await a.received('later', 1);
    assert.deepEqual(payloads(a, 'latest'), ['new']);
    assert.deepEqual(payloads(a, 'time'), ['old3', 'old4', 'new']);
    assert.deepEqual(payloads(a, 'later'), ['first']);
    await a.close();
  });

  test('pause and resume of a member lose and double nothing', async () => {
    await kafka.createTopic('gpause', 2);
    const a = probe('a');
    a.subscribe('s', { topic: 'gpause', group: 'g7', from: 'earliest' });
    await a.event({ event: 'caught_up', id: 's' });
    for (let round = 0; round < 5; round++) {
      a.send('publish', { id: `x${round}`, topic: 'gpause', payload: `r${round}-`, repeat: 2000, quiet: true });
      await sleep(20);
      a.send('pause', { id: 's' });
      await a.event({ event: 'all_published', id: `x${round}` });
      const before = a.records('s').length;
      await sleep(300);
      assert.ok(a.records('s').length - before <= 2100, 'paused');
      a.send('resume', { id: 's' });
    }
    await a.received('s', 10000);
    await sleep(300);
    assert.equal(a.records('s').length, 10000);
    for (const partition of [0, 1]) {
      const offsets = a.records('s').filter((r) => r.partition === partition).map((r) => r.offset);
      assert.deepEqual(offsets, offsets.map((_, i) => i));
    }
    await a.close();
  });

  test('a static member that another one has replaced says so and stays failed', async () => {
    await kafka.createTopic('fenced', 1);
    const a = probe('a', { options: { 'group.instance.id': 'one' } });
    a.subscribe('s', { topic: 'fenced', group: 'g8', from: 'earliest', ack: true });
    await publish(a, 'fenced', 0, 1);
    await a.received('s', 1);
    const b = probe('b', { options: { 'group.instance.id': 'one' } });
    b.subscribe('s', { topic: 'fenced', group: 'g8', from: 'earliest' });
    assert.match((await a.reached('failed', 30000)).reason, /"fenced".*fenced by other consumer/i);
    await publish(b, 'fenced', 1, 1);
    await b.received('s', 1);
    assert.equal(a.state.state, 'failed');
    await a.close();
    await b.close();
  });
});
