// The bus map: a simulated city of 2,000 vehicles through the embedded log, the module and its views to 10,000 clients with
// boxes of their own; the same without boxes; what slow clients cost; and how fast messages come in from Kafka.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLIENT_CORE, Program, benchProgram, program, residentBytes, sleep } from './programs.mjs';
import { consume, counter, startCrier, withServer } from './servers.mjs';
import { kafkaMissing, startKafka } from './kafka.mjs';
import { atLeast, atMost, group, median, pick, spread } from './statistics.mjs';

const VEHICLES = 2000;
const API_KEY = 'the key of the simulator of the benchmark';
const TOPIC = 'hfp';
const INGEST_TARGET = 100_000;

export const table = 'map';
export const columns = [
  ['what', 'measurement'], ['server', 'server, cores'], ['each', 'CPU a viewer and s'], ['bytes', 'bytes a viewer and s'], ['vehicles', 'positions a viewer and s'],
  ['age', 'age of a position, p50 / p99 ms'], ['memory', 'user memory a viewer, bytes'], ['target', 'target'], ['verdict', 'verdict'],
];
export const repetitions = 2;

const channels = (interval, plain) => `
[[bridge]]
name = "log"
driver = "embedded"
servers = "hfp.db"
[[namespace]]
name = "vehicles"
history = 0
type = 107
keyed = true
key_ttl = "5m"
${plain ? 'behind = "skip"' : `behind = "conflate"\ninterval_ms = ${interval}`}
[[namespace]]
name = "geofence"
history = 200
type = 103
[[namespace]]
name = "counts"
keyed = true
history = 0
behind = "conflate"
interval_ms = 1000
type = 106
[[module]]
name = "realtimemap"
simulated = true
trail = 5
replay = 0
`;

// As examples/realtimemap/simulator.toml has it. Trails are short, so that they do not grow while memory is measured.
const fromLog = (interval, plain) => (directory) => {
  writeFileSync(join(directory, 'api.key'), API_KEY, { mode: 0o600 });
  return `
[auth]
api_key_file = "api.key"
[[namespace]]
name = "hfp"
history = 0
[[sink]]
channel = "hfp:feed"
bridge = "log"
topic = "hfp"
[[source]]
bridge = "log"
topic = "hfp"
channel = "vehicles:all"
transform = "hfp"
${channels(interval, plain)}`;
};

// As examples/realtimemap/kafka.toml has it.
const fromKafka = (kafka) => () => `
[[bridge]]
name = "kafka"
driver = "kafka"
servers = "${kafka.bootstrap}"
[[source]]
bridge = "kafka"
topic = "${TOPIC}"
from = "earliest"
channel = "vehicles:all"
transform = "hfp"
${channels(500)}`;

function startViewers(server, { viewers = 1, look = 'mix', km = 0, slow = 0, plain }, { warmup, seconds }) {
  return new Program(CLIENT_CORE, benchProgram('bench_viewers'),
    ['--port', server.port, '--server-pid', server.pid, '--viewers', viewers, '--look', look, '--km', km, '--slow', slow,
      '--warmup', warmup, '--seconds', seconds, ...(plain ? ['--plain', 'vehicles:all'] : [])]);
}

async function startCity(server, directory) {
  const city = new Program(CLIENT_CORE, program('crier-hfp'), ['simulate', '--vehicles', VEHICLES, '--to', `http://127.0.0.1:${server.port}`,
    '--api-key-file', join(directory, 'api.key')]);
  const deadline = performance.now() + 20_000;
  while (await counter(server, 'crier_map_vehicles') < VEHICLES) {
    if (performance.now() > deadline)
      throw new Error('the city did not come');
    await sleep(0.1);
  }
  return city;
}

async function look(bench, { interval, plain, ...options }) {
  let directory;
  const rules = (d) => fromLog(interval, plain)(directory = d);
  return withServer(startCrier(bench, { rules }), async (server) => {
    const time = { warmup: bench.quick ? 2 : 4, seconds: bench.quick ? 3 : 5 };
    // Subscribers come first, because the snapshot of a keyed channel is JSON and large; the city needs a moment then.
    const early = plain && startViewers(server, { ...options, plain }, { ...time, warmup: time.warmup + 3 });
    await early?.event('ready', 120);
    const city = await startCity(server, directory);
    const before = residentBytes(server.pid);
    const clients = early || startViewers(server, options, time);
    await clients.event('ready', 120);
    const result = await clients.event('result', 60);
    await clients.exited;
    await city.stop();
    return { ...result, grown: result.server_bytes - before };
  });
}

export async function open(bench) {
  if (await kafkaMissing())
    return {};
  const kafka = await startKafka();
  const fill = new Program(CLIENT_CORE, benchProgram('bench_kafka_city'),
    ['--servers', kafka.bootstrap, '--topic', TOPIC, '--vehicles', VEHICLES, '--seconds', bench.quick ? 100 : 400]);
  const { sent, delivered } = await fill.event('result', 120);
  if (delivered !== sent)
    throw new Error(`only ${delivered} of ${sent} messages are in the topic`);
  await fill.exited;
  return { kafka, messages: delivered };
}

export const close = ({ kafka }) => kafka?.stop();
export const pids = ({ kafka }) => (kafka ? [kafka.pid] : []);

// A viewer of the whole region is there before the first message, so that all of it goes through the grid.
async function ingest(bench, { kafka, messages }) {
  kafka.pause();
  try {
    return await withServer(startCrier(bench, { rules: fromKafka(kafka) }), async (server) => {
      const client = startViewers(server, { look: 'region' }, { warmup: 0, seconds: 300 });
      await client.event('ready', 60);
      kafka.cont();
      const measured = await consume(server, messages, 'crier_map_messages_total', 'crier_view_items_total');
      await client.stop();
      return measured;
    });
  } finally {
    kafka.cont();
  }
}

const LATE = 1500, AT_ONCE = 150;
const FAST = { what: '5,000 viewers of 3 km of the centre', viewers: 5000, interval: 1000, look: 'centre', target: LATE };
const SLOW = { ...FAST, what: 'the same, all slow', slow: 100, target: undefined };
const cases = [
  { what: 'the feed and one viewer', viewers: 1, look: 'centre', interval: 1000 },
  { what: '1,000 viewers, mixed', viewers: 1000, interval: 1000, target: LATE },
  { what: '10,000 viewers, mixed, 5 % slow', viewers: 10_000, interval: 1000, slow: 5, target: LATE },
  FAST,
  SLOW,
  { what: '1,000 viewers, mixed', viewers: 1000, interval: 0, target: AT_ONCE },
  { what: '5,000 viewers of 3 km of the centre', viewers: 5000, interval: 0, look: 'centre', target: AT_ONCE },
  { what: '10,000 viewers, mixed, 5 % slow', viewers: 10_000, interval: 0, slow: 5, target: AT_ONCE },
  { what: '1,000 subscribers of everything', viewers: 1000, plain: true },
  { what: '10,000 subscribers of everything', viewers: 10_000, plain: true },
];
const nameOf = ({ what, interval, plain }) => `${what}, ${plain ? 'plain channel' : `interval_ms ${interval}`}`;

export const variants = (bench, context) => [
  ...cases.map((c) => ({ label: nameOf(c), run: () => look(bench, c) })),
  ...(context.kafka ? [{ label: 'ingest', run: () => ingest(bench, context) }] : []),
];

const of = (results, field) => median(pick(results, field));

// What the feed alone costs and grows by in that time is taken off. In the plain channel everybody gets the events of a vehicle, too,
// which the simulator tells with the time at which they happened, up to a second before: their p99 says nothing.
function rowOf(c, results, feed) {
  const each = (of(results, 'server_cpu') - feed.cpu) / c.viewers * 1e6;
  const memory = (of(results, 'grown') - feed.grown) / c.viewers;
  const age = `${group(of(results, 'p50_ms'))} / ${c.plain ? '-' : group(of(results, 'p99_ms'))}`;
  const busy = of(results, 'client_cpu') > 0.9 ? ' (client saturated)' : '';
  return {
    what: nameOf(c) + busy,
    server: spread(pick(results, 'server_cpu')),
    each: c.viewers > 1 ? `${each.toFixed(1)} us` : undefined,
    bytes: c.slow === 100 ? undefined : group(of(results, 'bytes_per_viewer')),
    vehicles: c.slow === 100 ? undefined : of(results, 'vehicles_per_viewer').toFixed(0),
    age: c.slow === 100 ? undefined : age,
    memory: c.viewers > 1 && !c.plain ? group(memory) : undefined,
    target: c.target ? `p99 < ${group(c.target)}` : undefined,
    verdict: c.target ? atMost(of(results, 'p99_ms'), c.target) : undefined,
    memoryBytes: memory,
  };
}

export function rows(results) {
  const alone = results[nameOf(cases[0])];
  const feed = { cpu: of(alone, 'server_cpu'), grown: of(alone, 'grown') };
  const rate = results.ingest && pick(results.ingest, 'records_per_second');
  const looks = cases.map((c) => rowOf(c, results[nameOf(c)], feed));
  // A slow client has the rest of one message: nothing else may grow.
  const message = of(results[nameOf(FAST)], 'bytes_per_viewer') / of(results[nameOf(FAST)], 'messages_per_viewer');
  const [fast, slow] = [FAST, SLOW].map((c) => looks[cases.indexOf(c)].memoryBytes);
  Object.assign(looks[cases.indexOf(SLOW)], {
    target: `memory <= a fast one's and one message (${group(fast + message)})`, verdict: atMost(slow, fast + message),
  });
  return [
    ...looks,
    {
      what: 'messages/s from Kafka through the module into the keyed channel and a view',
      server: rate ? `${spread(rate, group)} messages/s` : 'no Kafka',
      target: `>= ${group(INGEST_TARGET)}`,
      verdict: rate ? atLeast(median(rate), INGEST_TARGET) : 'not measured',
    },
  ];
}
