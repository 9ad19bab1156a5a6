// The mqtt driver against a real mosquitto, through bridge_probe; mosquitto_pub and mosquitto_sub are the independent
// other side.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { missing, pub, pubLines, startMosquitto, sub } from '../lib/mosquitto.mjs';
import { Probe, bytes, sleep, text, until } from '../lib/probe.mjs';

const open = new Set();

/** A probe that is ended whatever the test does; `id` keeps sessions of different tests apart. */
let counter = 0;
function probe(servers, options = {}, settings = {}) {
  const p = new Probe('mqtt', { servers: servers.url ?? servers, node: `n${++counter}`, ...settings,
    options: { reconnect_min: '50ms', reconnect_max: '300ms', ...options } });
  open.add(p);
  p.exit.then(() => open.delete(p));
  return p;
}

async function ready(p, ...ids) {
  await p.reached('ready');
  for (const id of ids) await p.event({ event: 'caught_up', id });
}

const payloads = (records) => records.map((r) => text(r.payload));
const numbers = (n, prefix = '') => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

/** Every one of `want` is in `got` (at least once), in the same order where repeats are left out. */
function assertAllInOrder(got, want) {
  const seen = new Set();
  const once = got.filter((x) => !seen.has(x) && seen.add(x));
  assert.deepEqual(once, want);
}

async function cleanUp() {
  await Promise.all([...open].map((p) => p.kill()));
}

describe('mqtt driver', { skip: missing }, () => {
  let broker;
  before(async () => { broker = await startMosquitto(); });
  after(async () => {
    await cleanUp();
    await broker?.stop();
  });

  test('options are checked with clear errors', async () => {
    const cases = [
      [broker.url, { keepalive: 'soon' }, /keepalive is "soon", allowed: a time from/],
      [broker.url, { qos: '3' }, /qos is "3", allowed: 0 to 2/],
      [broker.url, { protocol: '4' }, /protocol is "4", allowed: 5, 3\.1\.1/],
      [broker.url, { verify: 'yes' }, /verify is "yes", allowed: true, false/],
      [broker.url, { colour: 'red' }, /unknown option colour/],
      [broker.url, { ca_file: '/nowhere.pem' }, /ca_file cannot be read: \/nowhere\.pem/],
      [broker.url, { verify: 'false' }, /need mqtts:\/\/ or wss:\/\//],
      [broker.url, { protocol: '3.1.1', session_expiry: '1h' }, /session_expiry needs protocol = "5"/],
      [broker.url, { reconnect_min: '2s', reconnect_max: '1s' }, /reconnect_min is above reconnect_max/],
      [broker.url, { status_topic: 'a/#' }, /status_topic: topic contains a wildcard/],
      [broker.url, { client_id: '' }, /client_id must not be empty/],
      ['http://127.0.0.1:1883', {}, /unknown scheme, allowed: mqtt mqtts tcp ssl ws wss/],
      ['mqtt://127.0.0.1:99999', {}, /is not \[mqtt/],
      ['mqtt://', {}, /is not \[mqtt/],
      ['127.0.0.1:1883,mqtts://127.0.0.1', {}, /differs in its scheme/],
      ['', {}, /servers is empty/],
    ];
    for (const [servers, options, expected] of cases) {
      const p = probe(servers, options, { check: true });
      await p.exit;
      assert.equal(p.find({ event: 'checked' }).error, -22, JSON.stringify(options));
      assert.match(p.find({ event: 'checked' }).message, expected);
    }
    for (const servers of ['127.0.0.1', 'localhost:1883', 'mqtt://[::1]:1883,tcp://h', 'ws://h:80/mqtt', 'wss://h']) {
      const p = probe(servers, {}, { check: true });
      await p.exit;
      assert.equal(p.find({ event: 'checked' }).error, 0, p.find({ event: 'checked' }).message);
    }
  });

  test('wildcard subscription: own and foreign publishes at QoS 0, 1 and 2', async () => {
    const p = probe(broker);
    p.subscribe('s', { topic: 'wild/+/x/#', qos: 2 });
    await ready(p, 's');
    const assigned = p.find({ event: 'assigned', id: 's' });
    assert.equal(assigned.topic, 'wild/+/x/#');
    assert.equal(assigned.partitions, 1);
    assert.match(assigned.seed, /^[0-9a-f]{32}$/);
    for (const qos of [0, 1, 2]) {
      const receipt = await p.publish({ topic: `wild/${qos}/x`, payload: `q${qos}`, qos });
      assert.deepEqual([receipt.outcome, receipt.offset], ['stored', -1]);
    }
    pub(broker, 'wild/9/x/y/z', 'foreign', '-q', '1');
    pub(broker, 'wild/9/y', 'not for us', '-q', '1');
    pub(broker, 'wild/9/x/end', 'end', '-q', '1');
    const records = await p.received('s', 5);
    assert.deepEqual(payloads(records), ['q0', 'q1', 'q2', 'foreign', 'end']);
    assert.deepEqual(records.map((r) => r.topic), ['wild/0/x', 'wild/1/x', 'wild/2/x', 'wild/9/x/y/z', 'wild/9/x/end']);
    assert.ok(records.every((r) => r.partition === 0 && r.offset === -1 && r.key === null && !r.retained));
    await p.close();
    assert.equal(p.all({ event: 'assigned', id: 's' }).length, 1);
    assert.equal(p.all({ event: 'caught_up', id: 's' }).length, 1);
  });

  test('every payload byte survives both ways', async () => {
    const p = probe(broker);
    p.subscribe('s', { topic: 'binary' });
    await ready(p, 's');
    const payload = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    await p.publish({ topic: 'binary', payload });
    await p.publish({ topic: 'binary', payload: '' });
    const big = 'x'.repeat(1000000);
    await p.publish({ topic: 'binary', payload: big });
    const records = await p.received('s', 3);
    assert.deepEqual(records.map((r) => r.payload), [payload, '', big]);
    await p.close();
  });

  test('a retained message is the first value, an empty one clears it', async () => {
    pub(broker, 'retained/a', 'first', '-q', '1', '-r');
    const p = probe(broker);
    p.subscribe('s', { topic: 'retained/#' });
    await ready(p, 's');
    let [record] = await p.received('s', 1);
    assert.deepEqual([text(record.payload), record.retained], ['first', true]);
    await p.publish({ topic: 'retained/a', payload: 'second', retain: true });
    record = (await p.received('s', 2))[1];
    assert.deepEqual([text(record.payload), record.retained], ['second', false]);
    const other = await sub(broker, 'retained/#', '-F', '%r %p');
    await until(() => other.lines.length === 1, 'retained message at mosquitto_sub');
    assert.deepEqual(other.lines, ['1 second']);
    await other.stop();
    await p.publish({ topic: 'retained/a', payload: '', retain: true });
    record = (await p.received('s', 3))[2];
    assert.deepEqual([record.payload, record.retained], ['', false]);
    const late = probe(broker);
    late.subscribe('s', { topic: 'retained/#' });
    await ready(late, 's');
    await late.publish({ topic: 'retained/end', payload: 'end' });
    assert.deepEqual(payloads(await late.received('s', 1)), ['end']);
    await p.close();
    await late.close();
  });

  test('empty_payload = tombstone gives records without payload', async () => {
    const p = probe(broker, { empty_payload: 'tombstone' });
    p.subscribe('s', { topic: 'tomb/1' });
    await ready(p, 's');
    pub(broker, 'tomb/1', 'x', '-q', '1');
    pub(broker, 'tomb/1', null, '-q', '1', '-r');
    assert.deepEqual((await p.received('s', 2)).map((r) => r.payload), ['x', null]);
    await p.close();
  });

  test('user properties and MQTT properties are headers, both ways', async () => {
    const p = probe(broker);
    p.subscribe('s', { topic: 'props/in' });
    await ready(p, 's');
    pub(broker, 'props/in', 'x', '-q', '1', '-D', 'publish', 'user-property', 'traceparent', '00-aa-bb-01',
      '-D', 'publish', 'user-property', 'twice', '1', '-D', 'publish', 'user-property', 'twice', '2',
      '-D', 'publish', 'content-type', 'text/plain', '-D', 'publish', 'response-topic', 'answers/1',
      '-D', 'publish', 'correlation-data', 'c0', '-D', 'publish', 'payload-format-indicator', '1');
    const [record] = await p.received('s', 1);
    const sorted = (list) => list.map((h) => h.join('=')).sort();
    assert.deepEqual(sorted(record.headers), ['mqtt.content_type=text/plain', 'mqtt.correlation_data=c0',
      'mqtt.payload_format_indicator=1', 'mqtt.response_topic=answers/1', 'traceparent=00-aa-bb-01', 'twice=1', 'twice=2']);

    const other = await sub(broker, 'props/out', '-F', '%P|%C|%R|%D|%E|%p');
    const receipt = await p.publish({ topic: 'props/out', payload: 'y', headers: [['a', '1'], ['b', bytes('ü')],
      ['mqtt.content_type', 'application/json'], ['mqtt.response_topic', 'r/1'], ['mqtt.correlation_data', 'id7'],
      ['mqtt.message_expiry_interval', '60']] });
    assert.equal(receipt.outcome, 'stored');
    await until(() => other.lines.length, 'message at mosquitto_sub');
    assert.match(other.lines[0], /^a:1 b:ü\|application\/json\|r\/1\|id7\|(60|59)\|y$/);
    await other.stop();
    await p.close();
  });

  test('what would make the broker hang up is refused before it is sent', async () => {
    const p = probe(broker);
    p.subscribe('s', { topic: 'refused/#' });
    await ready(p, 's');
    const refused = [
      [{ topic: 'refused/+', payload: 'x' }, /wildcard/],
      [{ topic: 'refused/#', payload: 'x' }, /wildcard/],
      [{ topic: '', payload: 'x' }, /empty/],
      [{ topic: 'refused/\0', payload: 'x' }, /U\+0000/],
      [{ topic: 'refused/\xff', payload: 'x' }, /UTF-8/],
      [{ topic: 'refused/a', payload: 'x', headers: [['h', '\xff\xfe']] }, /header is not UTF-8/],
      [{ topic: 'refused/a', payload: 'x', headers: [['h\0', '1']] }, /header is not UTF-8, contains U\+0000/],
      [{ topic: 'refused/a', payload: 'x', headers: [['mqtt.message_expiry_interval', 'soon']] }, /not a number/],
      [{ topic: 'refused/a', payload: 'x', headers: [['mqtt.response_topic', 'a/#']] }, /not a topic name/],
      [{ topic: 'x'.repeat(65536), payload: 'x' }, /longer than 65535/],
    ];
    for (const [message, reason] of refused) {
      const receipt = await p.publish(message);
      assert.equal(receipt.outcome, 'refused', JSON.stringify(message).slice(0, 200));
      assert.match(receipt.reason, reason);
    }
    await p.publish({ topic: 'refused/end', payload: 'end' });
    assert.deepEqual(payloads(await p.received('s', 1)), ['end']);
    assert.equal(p.all({ event: 'state', state: 'connecting' }).length, 1, 'the connection held');
    await p.close();
  });

  test('a bad subscription fails, others go on', async () => {
    const p = probe(broker);
    p.subscribe('bad', { topic: 'a/#/b' });
    p.subscribe('share', { topic: '$share/g/a' });
    p.subscribe('past', { topic: 'a', from: 'earliest' });
    p.subscribe('good', { topic: 'good' });
    await ready(p, 'good');
    assert.equal(p.all({ event: 'error', message: 'subscribe failed' }).length, 3);
    assert.match(p.stderr, /# must be the last level/);
    await p.close();
  });

  test('overlapping filters: each subscription gets each message once (MQTT 5)', async () => {
    const p = probe(broker);
    p.subscribe('all', { topic: 'over/#' });
    p.subscribe('one', { topic: 'over/+/x' });
    p.subscribe('exact', { topic: 'over/1/x', qos: 0 });
    await ready(p, 'all', 'one', 'exact');
    const sent = numbers(200, 'm');
    pubLines(broker, 'over/1/x', sent);
    pub(broker, 'over/other', 'end', '-q', '1');
    await p.received('all', sent.length + 1);
    await p.received('one', sent.length);
    await p.received('exact', sent.length);
    await sleep(100);
    assert.deepEqual(payloads(p.records('all')), [...sent, 'end']);
    assert.deepEqual(payloads(p.records('one')), sent);
    assert.deepEqual(payloads(p.records('exact')), sent);
    await p.close();
  });

  test('shared subscription: two nodes divide the messages', async () => {
    const a = probe(broker), b = probe(broker), plain = probe(broker);
    a.subscribe('s', { topic: 'work/#', group: 'g' });
    b.subscribe('s', { topic: 'work/#', group: 'g' });
    plain.subscribe('s', { topic: 'work/#' });
    await Promise.all([ready(a, 's'), ready(b, 's'), ready(plain, 's')]);
    const sent = numbers(300, 'w');
    pubLines(broker, 'work/1', sent);
    await plain.received('s', sent.length);
    await until(() => a.records('s').length + b.records('s').length >= sent.length, 'all divided');
    await sleep(100);
    const [ofA, ofB] = [payloads(a.records('s')), payloads(b.records('s'))];
    assert.ok(ofA.length > 50 && ofB.length > 50, `divided ${ofA.length}/${ofB.length}`);
    assert.deepEqual([...ofA, ...ofB].sort(), [...sent].sort());
    await Promise.all([a.close(), b.close(), plain.close()]);
  });

  test('a session that was kept hands over what came meanwhile', async () => {
    const client_id = 'keeper';
    const first = probe(broker, { client_id });
    first.subscribe('a', { topic: 'kept/a/#' });
    first.subscribe('b', { topic: 'kept/b' });
    await ready(first, 'a', 'b');
    await first.close();
    const sent = numbers(500, 'k');
    pubLines(broker, 'kept/a/1', sent);
    pub(broker, 'kept/b', 'for b', '-q', '1');
    const second = probe(broker, { client_id });
    second.subscribe('b', { topic: 'kept/b' }); /* in another order than before */
    second.subscribe('a', { topic: 'kept/a/#' });
    await second.received('a', sent.length);
    await second.received('b', 1);
    assert.deepEqual(payloads(second.records('a')), sent);
    assert.deepEqual(payloads(second.records('b')), ['for b']);
    await second.close();
  });

  test('clean_start leaves the old session behind', async () => {
    const options = { client_id: 'cleaner', clean_start: 'true' };
    const first = probe(broker, options);
    first.subscribe('s', { topic: 'clean/#' });
    await ready(first, 's');
    await first.close();
    pub(broker, 'clean/1', 'while away', '-q', '1');
    const second = probe(broker, options);
    second.subscribe('s', { topic: 'clean/#' });
    await ready(second, 's');
    await second.publish({ topic: 'clean/1', payload: 'now' });
    assert.deepEqual(payloads(await second.received('s', 1)), ['now']);
    await second.close();
  });

  test('pause holds records back without loss, resume hands them over in order', async () => {
    const p = probe(broker, { receive_queue: '100', keepalive: '2s' });
    p.subscribe('s', { topic: 'paused/#' });
    p.subscribe('other', { topic: 'running/#' });
    await ready(p, 's', 'other');
    p.send('pause', { id: 's' });
    pubLines(broker, 'paused/1', numbers(50, 'p'));
    pub(broker, 'running/1', 'meanwhile', '-q', '1');
    await p.received('other', 1);
    assert.equal(p.records('s').length, 0);
    pubLines(broker, 'paused/1', numbers(2000, 'q'));
    await p.reached('degraded', 10000);
    assert.match(p.state.reason, /receive_queue is full/);
    assert.equal(p.records('s').length, 0);
    p.send('resume', { id: 's' });
    await p.when(() => p.records('s').some((r) => r.payload === 'q1999'), 'the last one');
    await p.reached('ready');
    assertAllInOrder(payloads(p.records('s')), [...numbers(50, 'p'), ...numbers(2000, 'q')]);
    await p.close();
  });

  test('50,000 messages through a small queue: none lost', async () => {
    const p = probe(broker, { receive_queue: '500', client_id: 'flood' });
    p.subscribe('s', { topic: 'flood/#', quiet: true, expect: 50000 });
    await ready(p, 's');
    pubLines(broker, 'flood/x', numbers(50000, 'message number '));
    const counted = await p.event({ event: 'counted', id: 's' }, 60000);
    assert.equal(counted.records, 50000);
    await p.close();
  });

  test('publishes in a burst are all acknowledged, and reach another client in order', async () => {
    const other = await sub(broker, 'burst/x', '-q', '1', '-F', '%p');
    const p = probe(broker, { max_inflight: '20' });
    await p.reached('ready');
    p.send('publish', { id: 'b', topic: 'burst/x', payload: 'n', repeat: 5000, quiet: true });
    await p.event({ event: 'all_published', id: 'b' }, 30000);
    await until(() => other.lines.length === 5000, 'all at mosquitto_sub');
    assert.deepEqual(other.lines, numbers(5000, 'n'));
    assert.deepEqual(p.all({ event: 'published' }).map((e) => e.outcome), ['stored']);
    assert.equal((await p.stats()).pending, 0);
    await other.stop();
    await p.close();
  });

  test('publish queue: more than publish_queue pending is retryable at once', async () => {
    const p = probe('mqtt://127.0.0.1:1', {}, { publishQueue: 10, publishTimeout: 700 });
    p.send('publish', { id: 'q', topic: 'a', payload: 'x', repeat: 15 });
    await p.event({ event: 'all_published', id: 'q' });
    const receipts = p.all({ event: 'published' });
    assert.equal(receipts.length, 15);
    assert.ok(receipts.every((r) => r.outcome === 'retryable'));
    assert.equal(receipts.filter((r) => r.reason === 'publish queue is full').length, 5);
    assert.equal(receipts.filter((r) => /not sent: no connection/.test(r.reason)).length, 10);
    await p.close();
  });

  test('max_buffered bounds what waits while there is no connection', async () => {
    const p = probe('mqtt://127.0.0.1:1', { max_buffered: '3' }, { publishTimeout: 500 });
    await p.when(() => /cannot connect/.test(p.state?.reason), 'reason');
    p.send('publish', { id: 'q', topic: 'a', payload: 'x', repeat: 5 });
    await p.event({ event: 'all_published', id: 'q' });
    const reasons = p.all({ event: 'published' }).map((r) => r.reason);
    assert.equal(reasons.filter((r) => /max_buffered/.test(r)).length, 2);
    await p.close();
  });

  test('last will: offline after SIGKILL, and the status on a clean stop', async () => {
    const watch = await sub(broker, 'status/#', '-q', '1', '-F', '%t %r %p');
    const options = { status_topic: 'status/one', client_id: 'status', protocol: '3.1.1' }; // without will delay
    const p = probe(broker, options);
    await p.reached('ready');
    await until(() => watch.lines.length === 1, 'online');
    await p.kill();
    await until(() => watch.lines.length === 2, 'offline by the will');
    const again = probe(broker, options);
    await again.reached('ready');
    await until(() => watch.lines.length === 3, 'online again');
    await again.close();
    await until(() => watch.lines.length === 4, 'offline said by the driver');
    assert.deepEqual(watch.lines, ['status/one 0 online', 'status/one 0 offline', 'status/one 0 online', 'status/one 0 offline']);
    await watch.stop();
    const late = await sub(broker, 'status/one', '-F', '%r %p');
    await until(() => late.lines.length, 'retained status');
    assert.deepEqual(late.lines, ['1 offline']);
    await late.stop();
  });

  test('MQTT 5 will waits for its delay, so a quick restart is not seen', async () => {
    const watch = await sub(broker, 'status5/#', '-q', '1', '-F', '%p');
    const options = { status_topic: 'status5/one', client_id: 'status5' };
    const p = probe(broker, options);
    await p.reached('ready');
    await until(() => watch.lines.length === 1, 'online');
    await p.kill();
    const again = probe(broker, options);
    await again.reached('ready');
    await until(() => watch.lines.length === 2, 'online again');
    assert.deepEqual(watch.lines, ['online', 'online']);
    await again.close();
    await watch.stop();
  });

  test('protocol 3.1.1: wildcard, retained, QoS 1, overlapping filters matched here', async () => {
    pub(broker, 'old/r', 'kept', '-q', '1', '-r');
    const p = probe(broker, { protocol: '3.1.1' });
    p.subscribe('all', { topic: 'old/#' });
    p.subscribe('one', { topic: 'old/x' });
    await ready(p, 'all', 'one');
    await p.publish({ topic: 'old/x', payload: '1', qos: 1, headers: [['dropped', 'here']] });
    await p.publish({ topic: 'old/y', payload: '2', qos: 2 });
    const records = await p.received('all', 3);
    assertAllInOrder(payloads(records), ['kept', '1', '2']);
    assert.deepEqual(records[0].retained, true);
    assert.ok(records.every((r) => r.headers.length === 0));
    assertAllInOrder(payloads(await p.received('one', 1)), ['1']);
    await p.close();
  });

  test('protocol 3.1.1: a shared subscription works too', async () => {
    const a = probe(broker, { protocol: '3.1.1' }), b = probe(broker, { protocol: '3.1.1' });
    for (const p of [a, b]) p.subscribe('s', { topic: 'work3/#', group: 'g' });
    await Promise.all([ready(a, 's'), ready(b, 's')]);
    const sent = numbers(100, 'w');
    pubLines(broker, 'work3/1', sent);
    await until(() => a.records('s').length + b.records('s').length >= sent.length, 'all divided');
    assert.deepEqual([...payloads(a.records('s')), ...payloads(b.records('s'))].sort(), [...sent].sort());
    await Promise.all([a.close(), b.close()]);
  });

  test('the next server of the list is tried', async () => {
    const p = probe(`127.0.0.1:1,${broker.url}`);
    await p.reached('ready');
    assert.match(p.find({ event: 'state', state: 'connecting', reason: null }) && p.all({ event: 'state' })[1].reason,
      /tcp:\/\/127\.0\.0\.1:1: cannot connect/);
    await p.close();
  });
});

/** A broker of a few lines that says what a real one hardly can be made to say. `connack`: bytes of CONNACK after the
 * fixed header; `puback`: reason code by topic, null for no answer; `granted`: reason code of SUBACK. */
async function fakeBroker({ connack = [0, 0, 0], puback = {}, granted = 1, onConnected = () => {} }) {
  const sockets = new Set();
  const packet = (type, body) => Buffer.from([type, body.length, ...body]);
  const answers = {
    1: (socket) => {
      socket.write(packet(0x20, connack));
      onConnected(socket, packet);
    },
    3: (socket, body, flags) => {
      const length = body.readUInt16BE(0);
      const topic = body.subarray(2, 2 + length).toString();
      const code = topic in puback ? puback[topic] : 0;
      if (code !== null && flags & 6) socket.write(packet(0x40, [...body.subarray(2 + length, 4 + length), code, 0]));
    },
    8: (socket, body) => socket.write(packet(0x90, [...body.subarray(0, 2), 0, granted])),
    12: (socket) => socket.write(packet(0xd0, [])),
  };
  const server = createServer((socket) => {
    let rest = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      for (;;) {
        let length = 0, at = 1;
        for (let shift = 0; at < rest.length; shift += 7) {
          length |= (rest[at] & 127) << shift;
          if (!(rest[at++] & 128)) break;
        }
        if (rest.length < 2 || rest.length < at + length) return;
        answers[rest[0] >> 4]?.(socket, rest.subarray(at, at + length), rest[0] & 15);
        rest = rest.subarray(at + length);
      }
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `mqtt://127.0.0.1:${server.address().port}`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

describe('mqtt driver and what brokers may answer', () => {
  after(cleanUp);

  test('reason codes of PUBACK: 0 and 16 are stored, 0x97 may be tried again, others are refused', async () => {
    const broker = await fakeBroker({ puback: { none: 0x10, quota: 0x97, no: 0x87, mute: null } });
    const p = probe(broker, {}, { publishTimeout: 500 });
    await p.reached('ready');
    const outcome = async (topic) => (await p.publish({ topic, payload: 'x' })).outcome;
    assert.equal(await outcome('yes'), 'stored');
    assert.equal(await outcome('none'), 'stored');
    assert.equal(await outcome('quota'), 'retryable');
    assert.equal(await outcome('no'), 'refused');
    assert.equal(await outcome('mute'), 'unknown');
    await p.close(0);
    await broker.stop();
  });

  test('limits in CONNACK are kept: QoS, retain, packet size', async () => {
    const broker = await fakeBroker({ connack: [0, 0, 11, 0x24, 0, 0x25, 0, 0x27, 0, 0, 0, 200, 0x29, 0] });
    const p = probe(broker);
    await p.reached('ready');
    const cases = [
      [{ qos: 1 }, /QoS/],
      [{ qos: 0, retain: true }, /retained/],
      [{ qos: 0, payload: 'x'.repeat(200) }, /larger than the broker allows/],
    ];
    for (const [message, reason] of cases) {
      const receipt = await p.publish({ topic: 'a', payload: 'x', ...message });
      assert.equal(receipt.outcome, 'refused');
      assert.match(receipt.reason, reason);
    }
    assert.equal((await p.publish({ topic: 'a', payload: 'x', qos: 0 })).outcome, 'stored');
    await p.close();
    await broker.stop();
  });

  test('a Receive Maximum below max_inflight does not slow publishing down to its seconds', async () => {
    const broker = await fakeBroker({ connack: [0, 0, 3, 0x21, 0, 5] });
    const p = probe(broker, { max_inflight: '100' });
    await p.reached('ready');
    const start = Date.now();
    p.send('publish', { id: 'q', topic: 'a', payload: 'x', repeat: 500, quiet: true });
    await p.event({ event: 'all_published', id: 'q' }, 60000);
    assert.ok(Date.now() - start < 30000, `took ${Date.now() - start} ms`);
    assert.ok(p.all({ event: 'published' }).every((e) => e.outcome === 'stored'));
    await p.close();
    await broker.stop();
  });

  test('a lower QoS than asked for, or a refusal, makes the bridge degraded with the reason', async () => {
    for (const [granted, reason] of [[0, /^a: the broker granted QoS 0 instead of 1$/],
      [0x87, /^a: the broker refused the subscription: [Nn]ot authorized \(code 135\)$/]]) {
      const broker = await fakeBroker({ granted });
      const p = probe(broker);
      p.subscribe('s', { topic: 'a' });
      await p.reached('degraded');
      assert.match(p.state.reason, reason);
      assert.equal(p.all({ event: 'caught_up' }).length, granted === 0 ? 1 : 0);
      await p.close();
      await broker.stop();
    }
  });

  test('a broker that leaves says why', async () => {
    const broker = await fakeBroker({ onConnected: (socket, packet) => setTimeout(() => socket.end(packet(0xe0, [0x8e, 0])), 50) });
    const p = probe(broker, { reconnect_min: '60s', reconnect_max: '60s' });
    await p.reached('ready');
    await p.reached('connecting');
    assert.match(p.state.reason, /disconnected by the broker: another client connected with the same client_id/);
    await p.close();
    await broker.stop();
  });

  test('reasons of refused connections; those that stay so are failures', async () => {
    for (const [code, state, reason] of [[0x84, 'failed', /unsupported protocol version/i], [0x85, 'failed', /client/i],
      [0x86, 'failed', /user name or password/i], [0x87, 'failed', /not authorised/], [0x88, 'connecting', /unavailable/i],
      [0x89, 'connecting', /busy/i]]) {
      const broker = await fakeBroker({ connack: [0, code, 0] });
      const p = probe(broker);
      await p.when(() => /connection refused/.test(p.state?.reason), `reason for ${code}`);
      assert.equal(p.state.state, state);
      assert.match(p.state.reason, reason);
      await p.close();
      await broker.stop();
    }
  });

  test('a server that is not MQTT', async () => {
    const web = createServer((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).on('error', () => {}));
    await new Promise((done) => web.listen(0, '127.0.0.1', done));
    const p = probe(`127.0.0.1:${web.address().port}`);
    await p.when(() => /cannot connect/.test(p.state?.reason), 'reason');
    await p.close();
    await new Promise((done) => web.close(done));
  });
});

describe('mqtt driver when the broker fails', { skip: missing }, () => {
  let broker;
  before(async () => { broker = await startMosquitto(); });
  after(async () => {
    await cleanUp();
    await broker?.stop();
  });

  test('publish while down: sent after the reconnect, or retryable in time', async () => {
    const p = probe(broker, {}, { publishTimeout: 15000 });
    p.subscribe('s', { topic: 'down/#' });
    await ready(p, 's');
    await broker.kill();
    await p.reached('connecting');
    assert.match(p.state.reason, /connection lost|cannot connect/);
    p.send('publish', { id: 'waits', topic: 'down/1', payload: 'waited' });
    await sleep(300);
    assert.equal(p.find({ event: 'published', id: 'waits' }), undefined);
    await broker.start();
    assert.equal((await p.event({ event: 'published', id: 'waits' })).outcome, 'stored');
    assert.deepEqual(payloads(await p.received('s', 1)), ['waited']);
    await p.close();

    const impatient = probe(broker, {}, { publishTimeout: 300 });
    await impatient.reached('ready');
    await broker.kill();
    await impatient.reached('connecting');
    const receipt = await impatient.publish({ topic: 'down/1', payload: 'x' });
    assert.equal(receipt.outcome, 'retryable');
    await broker.start();
    await impatient.close();
  });

  test('SIGKILL and restart of the broker: subscriptions come back, retained values too', async () => {
    const p = probe(broker);
    p.subscribe('s', { topic: 'back/#' });
    await ready(p, 's');
    await broker.kill();
    await p.reached('connecting');
    await broker.start();
    await p.reached('ready');
    await p.publish({ topic: 'back/1', payload: 'after' });
    assert.deepEqual(payloads(await p.received('s', 1)), ['after']);
    await p.close();
  });

  test('SIGKILL and restart in a stream: every acknowledged QoS 1 message arrives', async () => {
    const p = probe(broker, { client_id: 'stream', max_inflight: '50' }, { publishTimeout: 20000 });
    const watcher = probe(broker, { client_id: 'watcher' });
    watcher.subscribe('s', { topic: 'stream/#' });
    await ready(watcher, 's');
    await p.reached('ready');
    await broker.save(); /* the sessions survive the kill; what is published afterwards may not */
    let sent = 0, more = true;
    const stream = (async () => {
      for (; more; sent++) {
        p.send('publish', { id: `n${sent}`, topic: 'stream/x', payload: String(sent) });
        await sleep(2);
      }
    })();
    await until(() => sent > 200, 'stream');
    await broker.kill();
    await sleep(200);
    const restarted = Date.now();
    await broker.start();
    await p.when(() => p.all({ event: 'published', outcome: 'stored' }).some((e) => e.at > restarted), 'publishing again');
    await watcher.when(() => watcher.all({ event: 'state', state: 'ready' }).length === 2, 'listening again');
    await sleep(300);
    more = false;
    await stream;
    await p.when(() => p.all({ event: 'published' }).length === sent, 'every publish answered', 40000);
    await p.publish({ topic: 'stream/end', payload: 'end' });
    await watcher.when(() => watcher.records('s').some((r) => r.topic === 'stream/end'), 'end');
    /* What the broker had acknowledged and not yet delivered died with it; all that it acknowledged since must be there. */
    const got = new Set(payloads(watcher.records('s')));
    const late = p.all({ event: 'published', outcome: 'stored' }).filter((e) => e.id.startsWith('n') && e.at > restarted);
    assert.ok(late.length > 100, `${late.length} acknowledged after the restart`);
    assert.deepEqual(late.filter((e) => !got.has(e.id.slice(1))), []);
    await p.close();
    await watcher.close();
  });

  test('restart with a persistent session: no QoS 1 message is lost', async () => {
    const watcher = probe(broker, { client_id: 'persistent' });
    watcher.subscribe('s', { topic: 'persist/#' });
    await ready(watcher, 's');
    pubLines(broker, 'persist/1', numbers(200, 'a'));
    await watcher.kill(); /* perhaps in the middle of them */
    const before = payloads(watcher.records('s'));
    pubLines(broker, 'persist/1', numbers(300, 'b'));
    await broker.save();
    await broker.kill();
    await broker.start();
    const again = probe(broker, { client_id: 'persistent' });
    again.subscribe('s', { topic: 'persist/#' });
    await again.when(() => again.records('s').some((r) => r.payload === 'b299'), 'the last one');
    const all = new Set([...before, ...payloads(again.records('s'))]);
    assert.equal([...numbers(200, 'a'), ...numbers(300, 'b')].filter((x) => !all.has(x)).length, 0);
    await again.close();
  });

  test('SIGSTOP: nothing is acknowledged while the broker stands still', async () => {
    const p = probe(broker, { keepalive: '2s', connect_timeout: '2s' }, { publishTimeout: 1000 });
    await p.reached('ready');
    await p.publish({ topic: 'stop/1', payload: 'before' });
    broker.pause();
    p.send('publish', { id: 'many', topic: 'stop/1', payload: 'x', repeat: 300 });
    await p.event({ event: 'all_published', id: 'many' });
    const outcomes = p.all({ event: 'published', id: 'many' }).map((r) => r.outcome);
    assert.deepEqual([...new Set(outcomes)].sort(), ['retryable', 'unknown']);
    assert.equal(outcomes.filter((o) => o === 'unknown').length, 100, 'max_inflight were sent');
    await p.reached('connecting', 15000);
    broker.cont();
    await p.reached('ready', 15000);
    assert.equal((await p.publish({ topic: 'stop/1', payload: 'after' })).outcome, 'stored');
    await p.close();
  });

  test('close while the broker stands still ends at its deadline', async () => {
    const p = probe(broker);
    await p.reached('ready');
    broker.pause();
    p.send('publish', { id: 'x', topic: 'a', payload: 'x' });
    await sleep(100);
    const start = Date.now();
    await p.close(500);
    assert.ok(Date.now() - start < 9000, `took ${Date.now() - start} ms`);
    assert.equal(p.find({ event: 'published', id: 'x' }).outcome, 'unknown');
    broker.cont();
  });

  test('close sends what waits', async () => {
    const other = await sub(broker, 'closing/x', '-q', '1', '-F', '%p');
    const p = probe(broker, { max_inflight: '5' });
    await p.reached('ready');
    p.send('publish', { id: 'q', topic: 'closing/x', payload: 'c', repeat: 1000, quiet: true });
    await p.close();
    assert.equal(p.all({ event: 'all_published' }).length, 1);
    assert.ok(p.all({ event: 'published' }).every((e) => e.outcome === 'stored'));
    await until(() => other.lines.length === 1000, 'all of them');
    await other.stop();
  });
});

describe('mqtt driver, TLS, WebSocket, passwords, rights', { skip: missing }, () => {
  let broker;
  before(async () => {
    broker = await startMosquitto({ mutualTls: true, ws: true, password: { user: 'secret' },
      acl: 'user user\ntopic readwrite ok/#\n' });
  });
  after(async () => {
    await cleanUp();
    await broker?.stop();
  });
  const login = (more) => {
    writeFileSync(broker.file('password'), 'secret\n');
    return { username: 'user', password_file: broker.file('password'), ...more };
  };
  const certificates = () => ({ cert_file: broker.file('client.crt'), key_file: broker.file('client.key') });

  async function roundTrip(p) {
    p.subscribe('s', { topic: 'ok/#' });
    await ready(p, 's');
    assert.equal((await p.publish({ topic: 'ok/1', payload: 'through' })).outcome, 'stored');
    assert.deepEqual(payloads(await p.received('s', 1)), ['through']);
    await p.close();
  }

  test('mqtts:// with CA and client certificate', async () => {
    await roundTrip(probe(broker.tlsUrl, login({ ca_file: broker.file('ca.crt'), ...certificates() })));
    await roundTrip(probe(`ssl://localhost:${broker.tlsPort}`, login({ ca_file: broker.file('ca.crt'), ...certificates() })));
  });

  test('mqtts:// with a CA that did not sign: failed, and the reason says so', async () => {
    const p = probe(broker.tlsUrl, login({ ca_file: broker.file('other-ca.crt'), ...certificates() }));
    await p.reached('failed');
    assert.match(p.state.reason, /certificate verify failed/);
    await p.close();
    const unverified = probe(broker.tlsUrl, login({ verify: 'false', ...certificates() }));
    await unverified.reached('ready');
    await unverified.close();
  });

  test('ws://', async () => {
    await roundTrip(probe(broker.wsUrl, login()));
  });

  for (const protocol of ['5', '3.1.1'])
    test(`wrong password: failed with the reason, and well again when the file is right (${protocol})`, async () => {
      writeFileSync(broker.file('wrong'), 'guess\n');
      const p = probe(broker, { username: 'user', password_file: broker.file('wrong'), protocol });
      await p.reached('failed');
      assert.match(p.state.reason, /connection refused: not authorised/);
      writeFileSync(broker.file('wrong'), 'secret\n');
      await p.reached('ready');
      await p.close();
    });

  test('a subscription the broker refuses makes the bridge degraded, the rest works', async () => {
    const p = probe(broker, login());
    p.subscribe('no', { topic: 'forbidden/#' });
    p.subscribe('yes', { topic: 'ok/#' });
    await p.event({ event: 'caught_up', id: 'yes' });
    await p.publish({ topic: 'ok/1', payload: 'x' });
    assert.deepEqual(payloads(await p.received('yes', 1)), ['x']);
    const receipt = await p.publish({ topic: 'forbidden/1', payload: 'x' });
    assert.equal(receipt.outcome, 'refused');
    assert.match(receipt.reason, /[Nn]ot authorized \(code 135\)/);
    await p.close();
  });
});
