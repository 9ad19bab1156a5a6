// The kafka driver against a real Kafka, without the engine.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { isAvailable, startKafka } from '../lib/kafka.mjs';
import { Probe, bytes, sleep, text, until } from '../lib/probe.mjs';

const run = promisify(execFile);
const skip = !(await isAvailable()) && 'java or mvn is not installed';

/** murmur2 as the Java client computes it, seed 0x9747b28c, written down from the algorithm's description. */
function murmur2(data) {
  const m = 0x5bd1e995;
  let h = (0x9747b28c ^ data.length) | 0;
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    let k = Math.imul(data.readInt32LE(i), m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = data.length - i;
  if (rest === 3) h ^= data[i + 2] << 16;
  if (rest >= 2) h ^= data[i + 1] << 8;
  if (rest >= 1) h = Math.imul(h ^ data[i], m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

const partitionOf = (key, count) => (murmur2(Buffer.from(key)) & 0x7fffffff) % count;

describe('kafka driver', { skip }, () => {
  let kafka;
  const probes = [];
  const probe = (settings = {}) => {
    const p = new Probe('kafka', { servers: kafka.bootstrap, node: 'n1', ...settings });
    probes.push(p);
    return p;
  };
  const kcat = (args, input) => new Promise((done, fail) => {
    const child = execFile('kcat', ['-b', kafka.bootstrap, ...args], (error, out) => (error ? fail(error) : done(out)));
    child.stdin.end(input ?? '');
  });

  before(async () => {
    kafka = await startKafka();
  });
  after(async () => {
    for (const p of probes) if (!p.exited) await p.close();
    await kafka?.stop();
  });

  test('a record comes back with key, headers, time and bytes as they were sent', async () => {
    await kafka.createTopic('plain', 1);
    const p = probe();
    p.subscribe('s', { topic: 'plain', from: 'earliest' });
    const message = {
      topic: 'plain', key: bytes('köy'), payload: '\u0000\u00ff{"a":1}', time_ms: 1700000000123,
      headers: [['traceparent', '00-aa-bb-01'], ['empty', ''], ['none', null], ['traceparent', 'twice']],
    };
    const receipt = await p.publish(message);
    assert.equal(receipt.outcome, 'stored');
    assert.deepEqual([receipt.partition, receipt.offset], [0, 0]);
    const [r] = await p.received('s', 1);
    assert.equal(text(r.key), 'köy');
    assert.equal(r.payload, message.payload);
    assert.equal(r.time_ms, message.time_ms);
    assert.deepEqual(r.headers, message.headers);
    await p.close();
  });

  test('absent and empty keys and payloads stay apart', async () => {
    await kafka.createTopic('absent', 1);
    const p = probe();
    p.subscribe('s', { topic: 'absent', from: 'earliest' });
    await p.publish({ topic: 'absent', key: 'k', payload: null });
    await p.publish({ topic: 'absent', key: 'k', payload: '' });
    await p.publish({ topic: 'absent', key: '', payload: 'x' });
    await p.publish({ topic: 'absent', key: null, payload: 'x' });
    const records = await p.received('s', 4);
    assert.deepEqual(records.map((r) => [r.key, r.payload]), [['k', null], ['k', ''], ['', 'x'], [null, 'x']]);
    const sizes = await kcat(['-C', '-t', 'absent', '-e', '-q', '-f', '%K %S\n']);
    assert.equal(sizes, '1 -1\n1 0\n0 1\n-1 1\n', 'sizes of key and payload, -1 is absent');
    await p.close();
  });

  test('a key goes where the Java client puts it', async () => {
    // The expected numbers are those of Kafka's own unit test.
    const known = { 21: -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536,
      'a-little-bit-longer-string': -1486304829, lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971, abc: 479470107 };
    for (const [key, hash] of Object.entries(known)) assert.equal(murmur2(Buffer.from(key)), hash);
    await kafka.createTopic('keys', 7);
    const p = probe();
    const keys = [...Object.keys(known), ...Array.from({ length: 40 }, (_, i) => `user-${i}`)];
    for (const key of keys) {
      const receipt = await p.publish({ topic: 'keys', key, payload: 'x' });
      assert.equal(receipt.partition, partitionOf(key, 7), key);
    }
    await p.close();
  });

  test('kcat reads what the driver writes, and the driver what kcat writes', async () => {
    await kafka.createTopic('both', 1);
    const p = probe();
    await p.publish({ topic: 'both', key: 'k1', payload: 'from crier', headers: [['h', 'v']] });
    const out = await kcat(['-C', '-t', 'both', '-e', '-q', '-f', '%k %s %h\n']);
    assert.equal(out, 'k1 from crier h=v\n');
    p.subscribe('s', { topic: 'both', from: 'earliest' });
    await kcat(['-P', '-t', 'both', '-K', ':', '-H', 'a=b', '-z', 'zstd'], 'k2:from kcat\n');
    const records = await p.received('s', 2);
    assert.deepEqual([records[1].key, records[1].payload, records[1].headers], ['k2', 'from kcat', [['a', 'b']]]);
    await p.close();
  });

  test('latest, earliest and a time start where they say', async () => {
    await kafka.createTopic('starts', 2);
    const p = probe();
    for (let i = 0; i < 10; i++)
      await p.publish({ topic: 'starts', key: `k${i}`, payload: `old${i}`, time_ms: 1600000000000 + i * 1000 });
    p.subscribe('latest', { topic: 'starts', from: 'latest' });
    p.subscribe('earliest', { topic: 'starts', from: 'earliest' });
    p.subscribe('time', { topic: 'starts', from: 'time', time_ms: 1600000005500 });
    p.subscribe('future', { topic: 'starts', from: 'time', time_ms: 4000000000000 });
    for (const id of ['latest', 'earliest', 'time', 'future']) await p.event({ event: 'caught_up', id });
    assert.equal(p.find({ event: 'caught_up', id: 'latest' }).records, 0);
    assert.equal(p.find({ event: 'caught_up', id: 'earliest' }).records, 10, 'caught up only after all of them');
    await p.publish({ topic: 'starts', key: 'n', payload: 'new' });
    assert.equal((await p.received('earliest', 11)).length, 11);
    assert.deepEqual((await p.received('latest', 1)).map((r) => r.payload), ['new']);
    assert.deepEqual((await p.received('future', 1)).map((r) => r.payload), ['new']);
    const times = (await p.received('time', 5)).map((r) => r.payload).sort();
    assert.deepEqual(times, ['new', 'old6', 'old7', 'old8', 'old9']);
    const assigned = p.all({ event: 'assigned', id: 'earliest' });
    assert.deepEqual(assigned.map((a) => [a.partition, a.partitions, a.oldest]), [[0, 2, 0], [1, 2, 0]]);
    assert.equal(assigned[0].end + assigned[1].end, 10);
    assert.equal(assigned[0].seed, `${kafka.clusterId}:starts`);
    const lag = await p.stats();
    assert.deepEqual([lag.lag, lag.pending], [0, 0]);
    await p.close();
  });

  test('a topic that comes later is read from its beginning, also with latest', async () => {
    const p = probe();
    p.subscribe('s', { topic: 'later', from: 'latest' });
    const degraded = await p.reached('degraded');
    assert.match(degraded.reason, /"later" does not exist/);
    await kafka.createTopic('later', 2);
    await kcat(['-P', '-t', 'later', '-p', '0'], 'a\n');
    await kcat(['-P', '-t', 'later', '-p', '1'], 'b\n');
    assert.deepEqual((await p.received('s', 2)).map((r) => r.payload).sort(), ['a', 'b']);
    await p.reached('ready');
    await p.event({ event: 'caught_up', id: 's' });
    await p.close();
  });

  test('a topic made anew is read from its beginning', async () => {
    await kafka.createTopic('anew', 1);
    const p = probe();
    p.subscribe('s', { topic: 'anew', from: 'latest' });
    await p.event({ event: 'caught_up', id: 's' });
    await kcat(['-P', '-t', 'anew'], 'first0\nfirst1\nfirst2\n');
    await p.received('s', 3);
    await kafka.deleteTopic('anew');
    await p.reached('degraded', 40000);
    await p.event({ event: 'revoked', id: 's' });
    await kafka.createTopic('anew', 1);
    await kcat(['-P', '-t', 'anew'], 'second\n');
    const records = await p.received('s', 4);
    assert.deepEqual([records[3].payload, records[3].offset], ['second', 0]);
    await p.close();
  });

  test('partitions that are added are found and read from their beginning', async () => {
    await kafka.createTopic('grows', 1);
    const p = probe();
    p.subscribe('s', { topic: 'grows', from: 'latest' });
    await p.event({ event: 'caught_up', id: 's' });
    await kafka.addPartitions('grows', 3);
    await kcat(['-P', '-t', 'grows', '-p', '2'], 'in the new one\n');
    const [r] = await p.received('s', 1, 45000);
    assert.deepEqual([r.partition, r.offset], [2, 0]);
    assert.equal(p.all({ event: 'assigned', id: 's' }).at(-1).partitions, 3);
    await p.close();
  });

  test('holes of transactions: caught up, positions and read_back get over them', async () => {
    await kafka.createTopic('holes', 1);
    await kafka.transactions('holes', 0, 'commit=3', 'abort=4', 'commit=2', 'abort=1');
    const p = probe();
    p.subscribe('s', { topic: 'holes', from: 'earliest' });
    await p.event({ event: 'caught_up', id: 's' });
    const records = p.records('s');
    assert.deepEqual(records.map((r) => r.offset), [0, 1, 2, 9, 10]);
    assert.ok(records.every((r) => r.payload.startsWith('committed')));
    assert.equal((await p.stats()).lag, 0, 'the control records at the end are no lag');
    const all = await p.read({ topic: 'holes', partition: 0, from: 0 });
    assert.deepEqual(all.records.map((r) => r.offset), [0, 1, 2, 9, 10]);
    assert.deepEqual([all.complete, all.error, all.oldest, all.end], [true, 0, 0, 14]);
    const inside = await p.read({ topic: 'holes', partition: 0, from: 4, to: 6 });
    assert.deepEqual([inside.count, inside.complete, inside.error], [0, true, 0]);
    const tail = await p.read({ topic: 'holes', partition: 0, from: 11 });
    assert.deepEqual([tail.count, tail.complete, tail.end], [0, true, 14]);
    await p.close();
  });

  test('read_back gives exactly the range, in calls of the wanted size', async () => {
    await kafka.createTopic('range', 1);
    const p = probe();
    p.send('publish', { id: 'many', topic: 'range', payload: 'm', repeat: 5000, quiet: true });
    await p.event({ event: 'all_published', id: 'many' });
    const middle = await p.read({ topic: 'range', partition: 0, from: 1000, to: 1999, limit: 64 });
    assert.deepEqual(middle.records.map((r) => r.offset), Array.from({ length: 1000 }, (_, i) => 1000 + i));
    assert.deepEqual([middle.records[0].payload, middle.complete, middle.oldest, middle.end], ['m1000', true, 0, 5000]);
    const cut = await p.read({ topic: 'range', partition: 0, from: 0, limit_total: 10 });
    assert.deepEqual([cut.count, cut.complete, cut.error], [10, false, 0]);
    const exact = await p.read({ topic: 'range', partition: 0, from: 4990, limit_total: 10 });
    assert.deepEqual([exact.count, exact.complete], [10, true]);
    const beyond = await p.read({ topic: 'range', partition: 0, from: 5000 });
    assert.deepEqual([beyond.count, beyond.complete, beyond.end], [0, true, 5000]);
    const nowhere = await p.read({ topic: 'no-such-topic', partition: 0, from: 0 });
    assert.deepEqual([nowhere.count, nowhere.complete, nowhere.error], [0, false, -2]);
    const noPartition = await p.read({ topic: 'range', partition: 5, from: 0 });
    assert.equal(noPartition.error, -2);
    const badName = await p.read({ topic: 'a/b', partition: 0, from: 0 });
    assert.equal(badName.error, -2);
    await p.close();
  });

  test('many reads at once, of one partition and of several', async () => {
    await kafka.createTopic('crowd', 4);
    const p = probe();
    p.send('publish', { id: 'many', topic: 'crowd', payload: 'm', repeat: 4000, quiet: true });
    await p.event({ event: 'all_published', id: 'many' });
    const ends = await Promise.all([0, 1, 2, 3].map((partition) => p.read({ topic: 'crowd', partition, from: 0 })));
    assert.equal(ends.reduce((sum, r) => sum + r.count, 0), 4000);
    const wanted = Array.from({ length: 200 }, (_, i) => ({ partition: i % 4, from: i, to: i + 9 }));
    const reads = await Promise.all(wanted.map((w) => p.read({ topic: 'crowd', ...w })));
    reads.forEach((r, i) => {
      const { from, to, partition } = wanted[i];
      const last = Math.min(to, ends[partition].end - 1);
      assert.deepEqual(r.records.map((x) => x.offset), Array.from({ length: Math.max(0, last - from + 1) }, (_, k) => from + k));
      assert.ok(r.records.every((x) => x.partition === partition));
      assert.ok(r.complete);
    });
    await p.close();
  });

  test('a read that comes while a later one has overtaken those before it', async () => {
    await kafka.createTopic('overtaking', 2);
    const p = probe();
    for (const partition of [0, 1]) {
      const key = 'abcdefgh'.split('').find((k) => partitionOf(k, 2) === partition);
      p.send('publish', { id: key, topic: 'overtaking', key, payload: 'm', repeat: 1000, quiet: true });
      await p.event({ event: 'all_published', id: key });
    }
    const read = (partition, to) => p.read({ topic: 'overtaking', partition, from: 0, to, quiet: true });
    for (let round = 0; round < 10; round++) {
      const slow = Array.from({ length: 8 }, () => read(0, 999));
      const quick = Array.from({ length: 8 }, () => read(1, 9));
      await Promise.race(quick.slice(3)); // the end of the waiting line moves while its head still waits
      const late = [read(0, 9), read(1, 9)];
      for (const r of await Promise.all([...quick, ...late])) assert.deepEqual([r.count, r.complete], [10, true]);
      for (const r of await Promise.all(slow)) assert.deepEqual([r.count, r.complete], [1000, true]);
    }
    await p.close();
  });

  test('read_back says when retention has cut the range', async () => {
    await kafka.createTopic('trimmed', 1);
    const p = probe();
    p.send('publish', { id: 'many', topic: 'trimmed', payload: 'm', repeat: 100, quiet: true });
    await p.event({ event: 'all_published', id: 'many' });
    await kafka.trim('trimmed', 0, 40);
    const cut = await p.read({ topic: 'trimmed', partition: 0, from: 10, to: 49 });
    assert.deepEqual(cut.records.map((r) => r.offset), [40, 41, 42, 43, 44, 45, 46, 47, 48, 49]);
    assert.deepEqual([cut.complete, cut.error, cut.oldest, cut.end], [false, 0, 40, 100]);
    const gone = await p.read({ topic: 'trimmed', partition: 0, from: 0, to: 20 });
    assert.deepEqual([gone.count, gone.complete, gone.oldest], [0, false, 40]);
    const whole = await p.read({ topic: 'trimmed', partition: 0, from: 40 });
    assert.deepEqual([whole.count, whole.complete], [60, true]);
    await p.close();
  });

  test('pause holds the stream without loss', async () => {
    await kafka.createTopic('pausing', 1);
    const p = probe();
    p.subscribe('s', { topic: 'pausing', from: 'earliest' });
    p.send('pause', { id: 's' });
    await p.publish({ topic: 'pausing', payload: 'a' });
    await sleep(1500);
    assert.equal(p.records('s').length, 0, 'paused before the first record');
    p.send('resume', { id: 's' });
    await p.received('s', 1);
    p.send('pause', { id: 's' });
    p.send('publish', { id: 'many', topic: 'pausing', payload: 'm', repeat: 1000, quiet: true });
    await p.event({ event: 'all_published', id: 'many' });
    await sleep(500);
    assert.equal(p.records('s').length, 1);
    p.send('resume', { id: 's' });
    const records = await p.received('s', 1001);
    assert.deepEqual(records.map((r) => r.offset), Array.from({ length: 1001 }, (_, i) => i));
    await p.close();
  });

  test('a reader that retention has overtaken goes on with the oldest record and announces it', async () => {
    await kafka.createTopic('overtaken', 1);
    const p = probe({ options: { 'queued.min.messages': 10, 'fetch.message.max.bytes': 2000, 'batch.num.messages': 1 } });
    p.send('publish', { id: 'many', topic: 'overtaken', payload: 'm', repeat: 1000, size: 500, quiet: true });
    await p.event({ event: 'all_published', id: 'many' });
    p.subscribe('s', { topic: 'overtaken', from: 'earliest' });
    p.send('pause', { id: 's' });
    await p.event({ event: 'assigned', id: 's' });
    await sleep(500);
    await kafka.trim('overtaken', 0, 900);
    p.send('resume', { id: 's' });
    await p.when(() => p.records('s').at(-1)?.offset === 999, 'the last record', 30000);
    const offsets = p.records('s').map((r) => r.offset);
    const jump = offsets.findIndex((offset, i) => offset !== i);
    assert.ok(jump > 0 && jump < 900, `fetched ahead: ${jump}`);
    assert.deepEqual(offsets.slice(jump), Array.from({ length: 100 }, (_, i) => 900 + i));
    assert.deepEqual(p.all({ event: 'assigned', id: 's' }).map((a) => a.oldest), [0, 900]);
    assert.match(p.stderr, /records lost to retention/);
    await p.close();
  });

  test('bad options are refused by name', async () => {
    const refused = async (options, pattern, settings = {}) => {
      const check = probe({ options, check: true, ...settings });
      assert.equal((await check.exit).code, 1);
      assert.match(check.find({ event: 'checked' }).message, pattern);
      const open = probe({ options, ...settings });
      await open.exit;
      assert.match(open.find({ event: 'open_failed' }).message, pattern);
    };
    await refused({ 'no.such.thing': '1' }, /"no\.such\.thing": No such configuration property/);
    await refused({ 'linger.ms': 'soon' }, /"linger\.ms"/);
    await refused({ 'compression.type': 'rar' }, /"compression\.type": Invalid value "rar"/);
    await refused({ 'enable.auto.commit': 'true' }, /"enable\.auto\.commit" cannot be set here: .*committed after/);
    await refused({ 'group.id': 'g' }, /"group\.id" cannot be set here: set `group` of the source/);
    await refused({ acks: '0' }, /"acks" cannot be set here/);
    await refused({ 'bootstrap.servers': 'x' }, /set `servers`/);
    await refused({ 'error_cb': 'x' }, /"error_cb" cannot be set/);
    await refused({}, /"127\.0\.0\.1:x" is no broker address/, { servers: '127.0.0.1:9092,127.0.0.1:x' });
    const bad = probe({ options: { 'security.protocol': 'ssl', 'ssl.ca.location': '/no/such/file.pem' } });
    await bad.exit;
    assert.match(bad.find({ event: 'open_failed' }).message, /ssl\.ca\.location/);
    const good = probe({ options: { 'linger.ms': '5', 'ssl.endpoint.identification.algorithm': 'none', acks: 'all' }, check: true });
    assert.equal((await good.exit).code, 0, good.stderr);
  });

  test('a publish that can never work is refused, a full queue is retryable', async () => {
    await kafka.createTopic('small', 1, { 'max.message.bytes': 1000 });
    const p = probe({ publishQueue: 100 });
    const big = 'x'.repeat(5000);
    // Random bytes do not compress below the limit.
    const noise = Array.from({ length: 5000 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('');
    assert.equal((await p.publish({ topic: 'small', payload: noise })).outcome, 'refused');
    assert.equal((await p.publish({ topic: 'small', payload: big })).outcome, 'stored', 'compressed it fits');
    assert.equal((await p.publish({ topic: 'a/b', payload: 'x' })).outcome, 'refused');
    p.send('publish', { id: 'flood', topic: 'small', payload: 'm', repeat: 500 });
    await p.event({ event: 'all_published', id: 'flood' });
    const outcomes = p.all({ event: 'published', id: 'flood' }).map((e) => e.outcome);
    assert.equal(outcomes.filter((o) => o === 'stored').length, 100);
    assert.equal(outcomes.filter((o) => o === 'retryable').length, 400);
    assert.equal((await p.stats()).pending, 0);
    await p.close();
  });

  test('close answers what is pending and flushes it', async () => {
    await kafka.createTopic('closing', 1);
    const p = probe();
    await p.reached('ready');
    p.send('publish', { id: 'last', topic: 'closing', payload: 'm', repeat: 2000 });
    await p.close();
    const outcomes = p.all({ event: 'published', id: 'last' });
    assert.equal(outcomes.length, 2000);
    assert.ok(outcomes.every((e) => e.outcome === 'stored'));
    const count = (await kcat(['-C', '-t', 'closing', '-e', '-q', '-f', '%o\n'])).trim().split('\n').length;
    assert.equal(count, 2000);
  });
});
