// A steady stream of 1,000 publications a second to 100 and to 1,000 clients, without and with gathering: by the default of
// 5 ms, and by 10 and 20 ms, which put ten and twenty publications into a send at this rate.
import { CHANNEL, load, startCrier, startPublisher, startRaw, withServer } from './servers.mjs';
import { atMost, latency, median, pick, spread } from './statistics.mjs';

const RATE = 1000;
const TARGET = 0.15;
const sizes = [100, 1000];
const gathers = [0, 5, 10, 20];

function raw(bench, connections) {
  return withServer(startRaw(['--rate', RATE, '--size', bench.payloadSize]), (server) =>
    load(server, { connections, ...bench.window(connections) }));
}

function crier(bench, connections, gatherMs) {
  return withServer(startCrier(bench, { gatherMs }), (server) =>
    load(server, { connections, channel: CHANNEL, ...bench.window(connections) },
      () => startPublisher(server, bench, { rate: RATE })));
}

export const variants = (bench) => sizes.flatMap((n) => [
  { label: `raw ${n}`, run: () => raw(bench, n) },
  ...gathers.map((ms) => ({ label: `crier ${n} gather ${ms}`, run: () => crier(bench, n, ms) })),
]);

// The bare server sends one by one; at 1,000 clients that is more than a core does, and it sends what it can.
export function rows(results) {
  const full = (results, n) => median(pick(results, 'per_second')) > 0.98 * RATE * n;
  return sizes.flatMap((n) => gathers.map((gatherMs) => {
    const bare = results[`raw ${n}`], ours = results[`crier ${n} gather ${gatherMs}`];
    const ratio = median(pick(ours, 'us_per_message')) / median(pick(bare, 'us_per_message'));
    return {
      what: `steady ${RATE}/s to ${n} clients, gather_ms ${gatherMs}, us per delivery` + (full(ours, n) ? '' : ' (rate not held)'),
      crier: spread(pick(ours, 'us_per_message')),
      raw: spread(pick(bare, 'us_per_message')) + (full(bare, n) ? '' : ' (saturated)'),
      ratio: ratio.toFixed(3),
      latency: `${latency(ours)} (${latency(bare)})`,
      target: gatherMs ? `<= ${TARGET} x` : undefined,
      verdict: gatherMs ? atMost(ratio, TARGET) : undefined,
    };
  }));
}
