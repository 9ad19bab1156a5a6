// How many records a second one core takes from Kafka through the mapping into the frame log of a channel with a client.
import { sleep } from './programs.mjs';
import { startClients, startCrier, withServer } from './servers.mjs';
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

async function counter(server, name) {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)[1]);
}

// The clock runs from the first look at the counter that shows any records, so that start-up is left out.
async function consume(server, records) {
  const deadline = performance.now() + 120_000;
  let first, last;
  do {
    await sleep(0.02);
    last = { at: performance.now(), count: await counter(server, 'crier_publications_total') };
    first ??= last.count ? last : undefined;
    if (last.at > deadline)
      throw new Error(`only ${last.count} of ${records} records were mapped in 120 s`);
  } while (last.count < records);
  const delivered = await counter(server, 'crier_deliveries_total');
  if (!delivered)
    throw new Error('the client got nothing: no record was framed');
  return { records_per_second: (last.count - first.count) / (last.at - first.at) * 1000, records, before: first.count, delivered };
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
      const measured = await consume(server, records);
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
