// A real Kafka on the clients' core, with topics of one partition, and the rules that tie a topic to channels.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isAvailable, startKafka as startBroker } from '../lib/kafka.mjs';
import { CLIENT_CORE, Program, benchProgram } from './programs.mjs';

export async function kafkaMissing() {
  if (!existsSync(benchProgram('bench_kafka')))
    return 'built without librdkafka';
  return (await isAvailable()) ? undefined : 'no java, or no Kafka jars';
}

export async function startKafka() {
  const broker = await startBroker({ properties: { 'num.partitions': 1 } });
  execFileSync('taskset', ['-a', '-c', '-p', String(CLIENT_CORE), String(broker.pid)], { stdio: 'ignore' });
  return broker;
}

// Makes the topic, too: the broker creates it with the first record.
export async function fillTopic(bench, broker, topic, records) {
  const fill = new Program(CLIENT_CORE, benchProgram('bench_kafka'),
    ['--servers', broker.bootstrap, '--topic', topic, '--fill', records, '--keys', 1, '--data-size', bench.dataSize]);
  const { delivered } = await fill.event('result', 300);
  if (delivered !== records)
    throw new Error(`only ${delivered} of ${records} records are in the topic`);
  await fill.exited;
}

export const kafkaRules = (broker, { topic, channel, from }) => () => `
[[bridge]]
name = "kafka"
driver = "kafka"
servers = "${broker.bootstrap}"
[[source]]
bridge = "kafka"
topic = "${topic}"
channel = "${channel}"
from = "${from}"
`;
