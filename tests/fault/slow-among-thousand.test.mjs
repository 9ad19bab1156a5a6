// One slow reader among a thousand: the others do not notice, memory stays bounded, the policy is applied.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, startCrier, until } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';

const SESSIONS = 1000;
const ROUNDS = 300;
const PAD = 'x'.repeat(4000);

/** Latency in ms of each delivery of ROUNDS publications, one every 20 ms; sorted. */
async function stream(writer, clients) {
  const latencies = [];
  let expected = 0;
  for (const client of clients)
    client.onMessage = (m) => {
      if (m.channel === 'news') latencies.push(m.at - m.payload.at);
      return m.channel === 'news';
    };
  for (let n = 0; n < ROUNDS; n++) {
    writer.send(TYPE.publish, { channel: 'news', data: { n, at: performance.now(), pad: PAD } });
    expected += clients.length;
    await sleep(20);
  }
  await until(() => latencies.length === expected, 'all deliveries', 60000);
  return latencies.sort((a, b) => a - b);
}

test('one of a thousand stops reading', async (t) => {
  const server = await startCrier({ t, config: {
    server: { send_buffer_bytes: '64KiB' }, limits: { rate_messages: 0, handshakes_per_second: 0, frame_log_bytes: '512KiB', ping_ms: '10m' },
    log: { level: 'info' }, namespace: [{ name: 'default', publish: true, history: 10, behind: 'skip' }] } });
  const clients = [];
  while (clients.length < SESSIONS) {
    const some = await Promise.all(Array.from({ length: 50 }, () => server.typed()));
    await Promise.all(some.map((c) => c.subscribe('news')));
    clients.push(...some);
  }
  const writer = await server.typed();
  const slow = clients.pop();
  slow.onMessage = undefined;
  await stream(writer, clients); // warms up
  const quiet = await stream(writer, clients);
  slow.pause();
  const before = server.rss();
  const disturbed = await stream(writer, clients);
  const grown = server.rss() - before;
  const p99 = (list) => list[Math.floor(list.length * 0.99)];
  t.diagnostic(`p99 ${p99(quiet).toFixed(1)} ms without, ${p99(disturbed).toFixed(1)} ms with the slow one; memory grew by ${grown} bytes`);
  assert.ok(p99(disturbed) < p99(quiet) * 1.5 + 20, `p99 went from ${p99(quiet)} to ${p99(disturbed)} ms`);
  assert.ok(grown < 8 << 20, `memory grew by ${grown} bytes`);
  await until(async () => (await server.metrics()).value('crier_clients_behind') === 1, 'only the slow one is behind');
  slow.messages = [];
  slow.resume();
  await slow.nextType(TYPE.gap, 20000);
  assert.ok((await server.metrics()).value('crier_gaps_total') >= 1);
  await until(async () => (await server.metrics()).value('crier_clients_behind') === 0, 'nobody is behind', 20000);
});
