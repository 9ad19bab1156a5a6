// The most deliveries a second that one core makes to 1,000 clients with p99 under 100 ms, with gathering.
import { CHANNEL, load, startCrier, startPublisher, startRaw, withServer } from './servers.mjs';
import { atLeast, group, latency, median, pick, spread } from './statistics.mjs';

const CONNECTIONS = 1000;
const P99_MS = 100;
const STEP = 1.25;
const FIRST_RATE = 1000;
const LAST_RATE = 40_000;
const TARGET = 1_200_000;

function at(bench, rate) {
  return withServer(startCrier(bench, { gatherMs: 5 }), (server) =>
    load(server, { connections: CONNECTIONS, channel: CHANNEL, warmup: bench.warmup, seconds: bench.quick ? 1.5 : 3 },
      () => startPublisher(server, bench, { rate })));
}

// Rates go up by 25% until one is not held: too late, messages skipped, or fewer of them than were published.
async function climb(bench) {
  let best = { per_second: 0, p50_ms: NaN, p99_ms: NaN };
  for (let rate = FIRST_RATE; rate <= LAST_RATE; rate *= bench.quick ? STEP ** 2 : STEP) {
    const result = await at(bench, rate);
    const held = result.p99_ms < P99_MS && !result.gaps && result.per_second > 0.98 * rate * CONNECTIONS;
    const { per_second, p50_ms, p99_ms, server_cpu, client_cpu, us_per_message, messages_per_read, gaps } = result;
    process.stderr.write(`  ${Math.round(rate)}/s: ${JSON.stringify({ held, ...result, ready: undefined })}\n`);
    if (!held)
      break;
    best = { per_second, p50_ms, p99_ms, server_cpu, client_cpu, us_per_message, messages_per_read, gaps };
  }
  return best;
}

const raw = (bench) => withServer(startRaw(['--max', '--burst', 10, '--size', bench.payloadSize]), (server) =>
  load(server, { connections: CONNECTIONS, warmup: bench.warmup, seconds: 3 }));

export const variants = (bench) => [
  { label: 'raw', run: () => raw(bench) },
  { label: 'crier', run: () => climb(bench) },
];

export function rows(results) {
  const best = pick(results.crier, 'per_second');
  return [{
    what: `most deliveries/s, ${CONNECTIONS} clients, p99 < ${P99_MS} ms, gather_ms 5 (bare: ten a send, flat out)`,
    crier: spread(best, group),
    raw: spread(pick(results.raw, 'per_second'), group),
    latency: `${latency(results.crier)} (${latency(results.raw)})`,
    target: `>= ${group(TARGET)}`,
    verdict: atLeast(median(best), TARGET),
  }];
}
