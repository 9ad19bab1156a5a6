// SIGTERM, once and twice, while everything is under way: publishes, polls, resumes, presence, dead letters.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sleep, startCrier, until } from '../lib/crier.mjs';

const config = {
  server: { drain_ms: '150ms' },
  limits: { rate_messages: 0, handshakes_per_second: 0, frame_log_bytes: '4KiB' },
  bridge: [{ name: 'queue', driver: 'embedded', servers: 'log.db' }],
  namespace: [
    { name: 'chat', publish: true, history: 5, presence: true, join_leave: true },
    { name: 'free', publish: true, history: 5, behind: 'resync' },
  ],
  source: [{ bridge: 'queue', topic: 'chat', channel: '{header.none}{key}', from: 'earliest', dead_letter: 'bad' },
    { bridge: 'queue', topic: 'chat', channel: 'chat:{key}', from: 'earliest' }],
  sink: [{ channel: 'chat:*', bridge: 'queue', topic: 'chat', key: '{channel.1}' }],
};

const ignore = () => {};

/** Clients that never rest until the server has gone. */
async function keepBusy(server) {
  const clients = await Promise.all(Array.from({ length: 8 }, () => server.typed()));
  let over = false;
  const churn = clients.map(async (client, n) => {
    for (let i = 0; !over; i++) {
      const channel = i % 2 ? `chat:${n % 3}` : `free:${n % 3}`;
      for (let k = 0; k < 10; k++) client.publish(channel, { n, i, k }).catch(ignore);
      client.subscribe(channel, { history: 5 }).catch(ignore);
      if (i % 3 === 0) client.unsubscribe?.(channel)?.catch?.(ignore);
      server.get(`/channels/chat:${n}?wait=5&since=x:${i}`).catch(ignore);
      await sleep(5);
    }
  });
  return async () => {
    over = true;
    await Promise.allSettled(churn);
  };
}

const allOver = (server) => until(() => / stopped exit=/.test(server.stderr), 'the last line of the log');

for (const [what, again] of [['once'], ['twice at once', () => {}], ['twice', () => sleep(40)], ['twice, late', () => sleep(160)],
  ['again when all is over', allOver]]) {
  test(`SIGTERM ${what} in the middle of everything ends cleanly`, async (t) => {
    const server = await startCrier({ t, config });
    const rest = await keepBusy(server);
    try {
      await sleep(150 + Math.random() * 200);
      const stopped = server.stop(20000);
      await again?.(server);
      if (again) server.child.kill('SIGTERM');
      await stopped;
    } finally {
      await rest();
    }
    assert.equal(server.child.exitCode, 0);
  });
}
