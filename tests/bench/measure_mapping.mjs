// How many records a second one core takes from Kafka through the mapping into the frame log of a channel with a client.
import { consume, startClients, startCrier, withServer } from './servers.mjs';
import { fillTopic, kafkaMissing, kafkaRules, startKafka } from './kafka.mjs';
import { atLeast, group, median, pick, spread } from './statistics.mjs';

const TOPIC = 'mapping';
const TARGET = 300_000;

export const missing = kafkaMissing;
export const close = ({ kafka }) => kafka.stop();
export const pids = ({ kafka }) => [kafka.pid];

export async function open(bench) {
  const kafka = await startKafka(bench);
  const records = bench.quick ? 1_000_000 : 3_000_000;
  await fillTopic(bench, kafka, TOPIC, records);
  return { kafka, records };
}

// A subscription waits for its source to catch up, for 5 s at most. The broker stands still meanwhile, so that the client
// is there when the first record comes and every record is framed.
async function run(bench, { kafka, records }) {
  const rules = kafkaRules(kafka, { topic: TOPIC, channel: 'bench:{key}', from: 'earliest' });
  kafka.pause();
  try {
    return await withServer(startCrier(bench, { gatherMs: 5, rules }), async (server) => {
      const client = startClients(server, { connections: 1, channel: 'bench:k0', warmup: 0, seconds: 300 });
      await client.event('ready', 60);
      kafka.cont();
      const measured = await consume(server, records, 'crier_publications_total', 'crier_deliveries_total');
      await client.stop();
      return measured;
    });
  } finally {
    kafka.cont();
  }
}

export const variants = (bench, context) => [{ label: 'crier', run: () => run(bench, context) }];

export function rows({ crier }) {
  const rate = pick(crier, 'records_per_second');
  return [{
    what: 'records/s from Kafka through the mapping into the frame log, one core',
    crier: spread(rate, group),
    target: `>= ${group(TARGET)}`,
    verdict: atLeast(median(rate), TARGET),
  }];
}
