// How many records a second one core takes from Kafka through the mapping into the frame log of a channel with a client.
import { sleep } from './programs.mjs';
import { CHANNEL, load, startCrier, withServer } from './servers.mjs';
import { fillTopic, kafkaMissing, kafkaRules, startKafka } from './kafka.mjs';
import { atLeast, group, median, pick, spread } from './statistics.mjs';

const TOPIC = 'mapping';
const TARGET = 300_000;

export const missing = kafkaMissing;
export const close = ({ kafka }) => kafka.stop();

export async function open(bench) {
  const kafka = await startKafka(bench);
  const records = bench.quick ? 500_000 : 3_000_000;
  await fillTopic(bench, kafka, TOPIC, records);
  return { kafka, records };
}

async function publications(server) {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  return [...text.matchAll(/^crier_publications_total(?:\{[^}]*\})? (\d+)/gm)].reduce((sum, m) => sum + Number(m[1]), 0);
}

// The clock runs from the first look at the counter that shows any records, so that start-up is left out.
async function consume(server, records) {
  const deadline = performance.now() + 120_000;
  let first, last;
  do {
    await sleep(0.05);
    last = { at: performance.now(), count: await publications(server) };
    first ??= last.count ? last : undefined;
    if (last.at > deadline)
      throw new Error(`only ${last.count} of ${records} records were mapped in 120 s`);
  } while (last.count < records);
  return { records_per_second: (last.count - first.count) / (last.at - first.at) * 1000, records, before: first.count };
}

function run(bench, { kafka, records }) {
  const rules = kafkaRules(kafka, { topic: TOPIC, channel: 'bench:{key}', from: 'earliest' });
  return withServer(startCrier(bench, { gatherMs: 5, rules }), async (server) => {
    let measured;
    await load(server, { connections: 1, channel: 'bench:k0', warmup: 0, seconds: 0.1 },
      async () => { measured = await consume(server, records); });
    return measured;
  });
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
