// From a publish to the browser by way of the embedded log: stored, synced, read back, delivered.
import { CHANNEL, load, startCrier, startPublisher, withServer } from './servers.mjs';
import { pick, spread } from './statistics.mjs';

const RATE = 1000;
const CONNECTIONS = 10;

const rules = (directory) => `
[[bridge]]
name = "log"
driver = "embedded"
servers = "${directory}/log.db"
[[sink]]
channel = "bench:*"
bridge = "log"
topic = "bench"
[[source]]
bridge = "log"
topic = "bench"
channel = "${CHANNEL}"
`;

const run = (bench) => withServer(startCrier(bench, { gatherMs: 0, rules }), (server) =>
  load(server, { connections: CONNECTIONS, channel: CHANNEL, warmup: bench.warmup, seconds: bench.seconds },
    () => startPublisher(server, bench, { rate: RATE })));

export const variants = (bench) => [{ label: 'crier', run: () => run(bench) }];

export function rows({ crier }) {
  return [{
    what: `embedded log: publish to client at ${RATE}/s, p50 / p99, ms`,
    crier: `${spread(pick(crier, 'p50_ms'))} / ${spread(pick(crier, 'p99_ms'))}`,
  }];
}
