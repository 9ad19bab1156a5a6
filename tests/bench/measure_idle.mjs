// User memory of a connection that does nothing, and how fast connections come in.
import { CHANNEL, load, startCrier, startRaw, withServer } from './servers.mjs';
import { residentBytes, sleep } from './programs.mjs';
import { atMost, group, median, pick, spread } from './statistics.mjs';

const CONNECTIONS = 10_000;
const TARGET_BYTES = 2500;

async function run(starting, channel) {
  return withServer(starting, async (server) => {
    const before = residentBytes(server.pid);
    let bytes;
    const { ready } = await load(server, { connections: CONNECTIONS, channel, warmup: 0, seconds: 3 }, async () => {
      await sleep(2);
      bytes = (residentBytes(server.pid) - before) / CONNECTIONS;
    });
    return { bytes, rate: CONNECTIONS / ready.seconds, cpu_us: ready.server_cpu_seconds / CONNECTIONS * 1e6 };
  });
}

export const variants = (bench) => [
  { label: 'raw', run: () => run(startRaw([])) },
  { label: 'connected', run: () => run(startCrier(bench)) },
  { label: 'subscribed', run: () => run(startCrier(bench), CHANNEL) },
];

export function rows(results) {
  const memory = (what, name) => ({
    what: `user memory per idle connection, ${what}, bytes`,
    crier: spread(pick(results[name], 'bytes'), group),
    raw: spread(pick(results.raw, 'bytes'), group),
    target: `<= ${group(TARGET_BYTES)}`,
    verdict: atMost(median(pick(results[name], 'bytes')), TARGET_BYTES),
  });
  const connect = (what, name) => ({
    what: `connections/s, ${what} (server CPU us each)`,
    crier: `${spread(pick(results[name], 'rate'), group)} (${group(median(pick(results[name], 'cpu_us')))})`,
    raw: `${spread(pick(results.raw, 'rate'), group)} (${group(median(pick(results.raw, 'cpu_us')))})`,
  });
  return [
    memory('connected', 'connected'), memory('one subscription', 'subscribed'),
    connect('handshake', 'connected'), connect('handshake and subscription', 'subscribed'),
  ];
}
