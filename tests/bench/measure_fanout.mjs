// CPU per delivery at 100,000 deliveries a second, one message and ten messages a send, against the bare server.
import { CHANNEL, load, startCrier, startPublisher, startRaw, withServer } from './servers.mjs';
import { atMost, latency, median, pick, spread } from './statistics.mjs';

// A single one lies anywhere within 15 % of the median, on both sides of the comparison.
export const repetitions = 7;

const DELIVERIES_PER_SECOND = 100_000;
const cases = [1000, 10_000].flatMap((connections) => [1, 10].map((burst) => ({ connections, burst })));
const label = (server, { connections, burst }) => `${server} ${connections} x${burst}`;

function raw(bench, { connections, burst }) {
  const options = ['--rate', DELIVERIES_PER_SECOND / connections, '--burst', burst, '--size', bench.payloadSize];
  return withServer(startRaw(options), (server) => load(server, { connections, ...bench.window(connections) }));
}

// x1 without gathering; a burst of ten arrives in one read, and gathering is as it is configured by default.
function crier(bench, { connections, burst }) {
  const rate = DELIVERIES_PER_SECOND / connections;
  return withServer(startCrier(bench, { gatherMs: burst > 1 ? 5 : 0 }), (server) =>
    load(server, { connections, channel: CHANNEL, ...bench.window(connections) },
      () => startPublisher(server, bench, { rate, burst })));
}

export const variants = (bench) => cases.flatMap((c) => [
  { label: label('raw', c), run: () => raw(bench, c) },
  { label: label('crier', c), run: () => crier(bench, c) },
]);

export function rows(results) {
  return cases.map((c) => {
    const bare = results[label('raw', c)], ours = results[label('crier', c)];
    const ratio = median(pick(ours, 'us_per_message')) / median(pick(bare, 'us_per_message'));
    const target = c.burst > 1 ? 1.05 : 1.1;
    return {
      what: `CPU per delivery, ${c.connections} clients, x${c.burst}, us`,
      crier: spread(pick(ours, 'us_per_message')),
      raw: spread(pick(bare, 'us_per_message')),
      ratio: ratio.toFixed(2),
      latency: `${latency(ours)} (${latency(bare)})`,
      target: `<= ${target.toFixed(2)} x`,
      verdict: atMost(ratio, target),
    };
  });
}
