// From produce() to the browser by way of a real Kafka.
import { CLIENT_CORE, Program, benchProgram } from './programs.mjs';
import { CHANNEL, load, startCrier, withServer } from './servers.mjs';
import { fillTopic, kafkaMissing, kafkaRules, startKafka } from './kafka.mjs';
import { atMost, median, pick, spread } from './statistics.mjs';

const RATE = 1000;
const CONNECTIONS = 10;
const TARGET_P99_MS = 10;

export const missing = kafkaMissing;
export const open = startKafka;
export const close = (kafka) => kafka.stop();
export const pids = (kafka) => [kafka.pid];

let topics = 0;

async function run(bench, kafka) {
  const topic = `latency${++topics}`;
  await fillTopic(bench, kafka, topic, 1);
  const rules = kafkaRules(kafka, { topic, channel: CHANNEL, from: 'latest' });
  return withServer(startCrier(bench, { gatherMs: 0, rules }), (server) =>
    load(server, { connections: CONNECTIONS, channel: CHANNEL, warmup: bench.warmup + 3, seconds: bench.seconds },
      () => new Program(CLIENT_CORE, benchProgram('bench_kafka'),
        ['--servers', kafka.bootstrap, '--topic', topic, '--rate', RATE, '--data-size', bench.dataSize])));
}

export const variants = (bench, kafka) => [{ label: 'crier', run: () => run(bench, kafka) }];

export function rows({ crier }) {
  const p99 = pick(crier, 'p99_ms');
  return [{
    what: `Kafka: produce to client at ${RATE}/s, p50 / p99, ms`,
    crier: `${spread(pick(crier, 'p50_ms'))} / ${spread(p99)}`,
    target: `p99 < ${TARGET_P99_MS}`,
    verdict: atMost(median(p99), TARGET_P99_MS),
  }];
}
