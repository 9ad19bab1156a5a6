// Connections to a real mosquitto that break while many publishes are on their way, again and again: CRIER_ROUNDS times
// each (3 without it). What the broker accepted is seen by another client, which no fault touches but a kill.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { missing, startMosquitto, sub } from '../lib/mosquitto.mjs';
import { Probe, sleep, until } from '../lib/probe.mjs';

const ROUNDS = Number(process.env.CRIER_ROUNDS ?? 3);
const BURST = 400;
const open = new Set();

function probe(url, options = {}, settings = {}) {
  const p = new Probe('mqtt', { servers: url, node: `n${open.size}`, publishTimeout: 30000, ...settings,
    options: { reconnect_min: '30ms', reconnect_max: '100ms', keepalive: '2s', connect_timeout: '2s', ...options } });
  open.add(p);
  return p;
}

/** Between the driver and the broker: cut() resets every connection, wherever a packet just is. */
async function startCutter(broker) {
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(broker.port, '127.0.0.1');
    for (const [a, b] of [[near, far], [far, near]]) {
      sockets.add(a);
      a.on('error', () => {}).on('close', () => { sockets.delete(a); b.destroy(); });
      a.pipe(b);
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `mqtt://127.0.0.1:${server.address().port}`,
    cut() { for (const socket of sockets) socket.resetAndDestroy(); },
    stop() { this.cut(); server.close(); },
  };
}

/** A stream of numbered publishes over four topics, some of them too large for one write. */
class Stream {
  constructor(p, qos) {
    Object.assign(this, { p, qos, sent: 0, big: 'x'.repeat(50000) });
  }

  burst(count = BURST) {
    for (const end = this.sent + count; this.sent < end; this.sent++) {
      const n = this.sent;
      this.p.send('publish', { id: `${n}`, topic: `faults/${this.qos}/${n % 4}`, qos: this.qos,
        payload: `${n} ${n % 50 === 0 ? this.big : ''}` });
    }
  }

  answers() { return this.p.all({ event: 'published' }); }

  async allAnswered() {
    await this.p.when(() => this.answers().length >= this.sent, `${this.sent} answers`, 60000);
    assert.equal(this.answers().length, this.sent, 'each publish is answered once');
  }

  stored(since = 0) {
    return this.answers().filter((a) => a.outcome === 'stored' && a.at > since).map((a) => Number(a.id));
  }
}

/** Numbers that the broker handed on, by topic, in the order in which it did. */
async function observe(broker, qos) {
  const watcher = await sub(broker, `faults/${qos}/#`, '-q', '1', '-F', '%t %p');
  return {
    stop: () => watcher.stop(),
    numbers() {
      const byTopic = new Map();
      for (const line of watcher.lines) {
        const [, topic, n] = /^(\S+) (\d+) /.exec(line) ?? assert.fail(`damaged: ${line.slice(0, 60)}`);
        byTopic.set(topic, [...(byTopic.get(topic) ?? []), Number(n)]);
      }
      return byTopic;
    },
  };
}

/** First appearances ascend: what came again came before anything newer than all that was on its way. */
function assertInOrder(byTopic) {
  for (const [topic, numbers] of byTopic) {
    const seen = new Set();
    const firsts = numbers.filter((n) => !seen.has(n) && seen.add(n));
    assert.deepEqual(firsts, [...firsts].sort((a, b) => a - b), `${topic} is in order`);
  }
}

const all = (byTopic) => [...byTopic.values()].flat();
const assertWellFormed = (broker) => assert.doesNotMatch(broker.log(), /malformed|protocol error/i);

describe('mqtt driver, connections that break in a stream of publishes', { skip: missing }, () => {
  let broker;
  before(async () => { broker = await startMosquitto(); });
  after(async () => {
    for (const p of open) await p.kill();
    await broker?.stop();
  });

  async function cutAgainAndAgain(qos) {
    const cutter = await startCutter(broker), watcher = await observe(broker, qos);
    const p = probe(cutter.url, { max_inflight: '200', client_id: `cut${qos}` });
    const stream = new Stream(p, qos);
    await p.reached('ready');
    let interrupted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      stream.burst();
      await p.when(() => stream.answers().length > stream.sent - BURST + 20 * (1 + round % 5), 'some answers');
      interrupted += stream.answers().length < stream.sent;
      cutter.cut();
      await sleep(30 * (round % 3));
    }
    await stream.allAnswered();
    await p.reached('ready');
    stream.burst(4);
    await stream.allAnswered();
    await until(() => all(watcher.numbers()).includes(stream.sent - 1), 'the last one');
    const got = watcher.numbers(), numbers = all(got), set = new Set(numbers);
    assert.ok(interrupted, 'some cut came in the middle');
    assertInOrder(got);
    if (qos === 1) assert.equal(stream.stored().length, stream.sent, 'what was on its way is sent again');
    else assert.equal(numbers.length, set.size, `no duplicates with QoS ${qos}`);
    if (qos) assert.deepEqual(stream.stored().filter((n) => !set.has(n)), [], 'all that was acknowledged');
    assertWellFormed(broker);
    await p.close();
    await watcher.stop();
    cutter.stop();
  }

  test('cut with many on their way, QoS 0: no duplicates, in order', () => cutAgainAndAgain(0));
  test('cut with many on their way, QoS 1: all arrive, in order, nothing damaged', () => cutAgainAndAgain(1));
  test('cut with many on their way, QoS 2: no duplicates, and what was acknowledged arrives', () => cutAgainAndAgain(2));

  test('SIGSTOP until the connection is given up, then SIGCONT: all arrive, in order', async () => {
    const watcher = await observe(broker, 1);
    const p = probe(broker.url, { max_inflight: '200', client_id: 'frozen' }, { publishTimeout: 60000 });
    const stream = new Stream(p, 1);
    await p.reached('ready');
    for (let round = 0; round < Math.ceil(ROUNDS / 4); round++) {
      stream.burst();
      await p.when(() => stream.answers().length > stream.sent - BURST + 20, 'some answers');
      broker.pause();
      await p.reached('connecting', 15000);
      stream.burst(100);
      broker.cont();
      await p.reached('ready', 15000);
    }
    await stream.allAnswered();
    assert.equal(stream.stored().length, stream.sent);
    await until(() => new Set(all(watcher.numbers())).size === stream.sent, 'all of them');
    assertInOrder(watcher.numbers());
    assertWellFormed(broker);
    await p.close();
    await watcher.stop();
  });

  test('SIGKILL and restart with many on their way: nothing damaged, what is acknowledged afterwards arrives', async () => {
    const p = probe(broker.url, { max_inflight: '200', client_id: 'killed' });
    p.subscribe('back', { topic: 'faults/1/#' });
    const stream = new Stream(p, 1);
    await p.reached('ready');
    await p.event({ event: 'caught_up', id: 'back' });
    for (let round = 0; round < ROUNDS; round++) {
      stream.burst();
      await p.when(() => stream.answers().length > stream.sent - BURST + 20 * (1 + round % 5), 'some answers');
      await broker.kill();
      stream.burst(50);
      await sleep(200); /* answers from before the kill come in */
      const restarted = Date.now();
      await broker.start();
      await stream.allAnswered();
      const late = stream.stored(restarted);
      assert.ok(late.length >= 50, `${late.length} acknowledged after the restart`);
      await p.when(() => p.records('back').some((r) => r.payload.startsWith(`${stream.sent - 1} `)), 'the last one');
      const got = new Set(p.records('back').map((r) => parseInt(r.payload)));
      assert.deepEqual(late.filter((n) => !got.has(n)), []);
    }
    assertWellFormed(broker);
    await p.close();
  });
});
