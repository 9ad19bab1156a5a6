// The channels wire: CPU per delivery beside the bare server, memory, the most deliveries, SSE, and a herd that comes back.
import { CHANNEL, calibrate, load, startClients, startCrier, startPublisher, startRaw, withServer } from './servers.mjs';
import { residentBytes, sleep } from './programs.mjs';
import { atLeast, atMost, group, latency, median, pick, spread } from './statistics.mjs';

const DELIVERIES_PER_SECOND = 100_000;
const MEMORY_BYTES = 3000;
export const repetitions = 5;
const HERD = 10_000;
const MISSED = 100;

const cases = [
  ...[1000, 10_000].flatMap((connections) => [1, 10].map((burst) => ({ connections, burst, wire: 'channels' }))),
  { connections: 1000, burst: 1, wire: 'channels', more: 49 },
  { connections: 1000, burst: 1, wire: 'sse' },
  { connections: 1000, burst: 10, wire: 'sse' },
];
const nameOf = ({ wire, more, connections, burst }) =>
  `${wire === 'sse' ? 'SSE' : 'channels wire'}${more ? `, ${more + 1} channels each` : ''}, ${connections} clients, x${burst}`;

// Sizes of data that make the frames as large as the bare server's; once a run.
let sizes;
const sized = async (bench) => (sizes ??= await calibrate(bench, 'channels'));

const rawOf = ({ connections, burst }) => `raw ${connections} x${burst}`;
async function raw(bench, { connections, burst }) {
  const { payloadSize } = await sized(bench);
  const options = ['--rate', DELIVERIES_PER_SECOND / connections, '--burst', burst, '--size', payloadSize];
  return withServer(startRaw(options), (server) => load(server, { connections, ...bench.window(connections) }));
}

async function crier(bench, { connections, burst, wire, more }) {
  const { dataSize } = await sized(bench);
  return withServer(startCrier(bench, { gatherMs: burst > 1 ? 5 : 0 }), (server) =>
    load(server, { connections, channel: CHANNEL, wire, more, ...bench.window(connections) },
      () => startPublisher(server, { dataSize }, { rate: DELIVERIES_PER_SECOND / connections, burst })));
}

async function idle(bench) {
  return withServer(startCrier(bench), async (server) => {
    const before = residentBytes(server.pid);
    let bytes;
    await load(server, { connections: HERD, channel: CHANNEL, wire: 'channels', warmup: 0, seconds: 3 }, async () => {
      await sleep(2);
      bytes = (residentBytes(server.pid) - before) / HERD;
    });
    return { bytes };
  });
}

async function highest(bench) {
  const { dataSize } = await sized(bench);
  return withServer(startCrier(bench, { gatherMs: 5 }), (server) =>
    load(server, { connections: 1000, channel: CHANNEL, wire: 'channels', warmup: bench.warmup, seconds: bench.quick ? 1.5 : 3 },
      () => startPublisher(server, { dataSize }, { rate: 4000 })));
}

// A hundred steady clients on a channel of their own, while ten thousand others come back to another one and are handed
// what they missed.
async function herd(bench, comes) {
  const { dataSize } = await sized(bench);
  return withServer(startCrier(bench, { gatherMs: 0, history: 1000 }), async (server) => {
    const fill = startPublisher(server, { dataSize }, { rate: 1000, channel: 'bench:herd' });
    await sleep(MISSED / 1000 + 0.5);
    await fill.stop();
    const published = (await fill.event('result')).sent;
    let storm;
    const result = await load(server, { connections: 100, channel: 'bench:steady', wire: 'channels', warmup: 1, seconds: 8, first: true }, async () => {
      const publisher = startPublisher(server, { dataSize }, { rate: 500, channel: 'bench:steady', first: true });
      await sleep(2.5); // past the warm-up; they stay until the window is over, since their leaving is another storm
      if (comes) {
        storm = startClients(server, { connections: HERD, channel: 'bench:herd', wire: 'channels', source: 20, warmup: 0, seconds: 8,
          yielding: true, position: { offset: Math.max(1, published - MISSED) } });
      }
      return publisher;
    });
    const ready = comes && await storm.event('ready', 60);
    await storm?.exited;
    return { ...result, seconds: ready?.seconds, bytes: residentBytes(server.pid) };
  });
}

export const variants = (bench) => [
  ...cases.filter((c, i) => cases.findIndex((o) => rawOf(o) === rawOf(c)) === i).map((c) => ({ label: rawOf(c), run: () => raw(bench, c) })),
  ...cases.map((c) => ({ label: nameOf(c), run: () => crier(bench, c) })),
  { label: 'idle', run: () => idle(bench) },
  { label: 'highest', run: () => highest(bench) },
  { label: 'calm', run: () => herd(bench, false) },
  { label: 'herd', run: () => herd(bench, true) },
];

export function rows(results) {
  const fanout = cases.map((c) => {
    const bare = results[rawOf(c)], ours = results[nameOf(c)];
    const ratio = median(pick(ours, 'us_per_message')) / median(pick(bare, 'us_per_message'));
    const target = c.burst > 1 ? 1.05 : 1.1;
    return {
      what: `${nameOf(c)}, us per delivery`,
      crier: spread(pick(ours, 'us_per_message')),
      raw: spread(pick(bare, 'us_per_message')),
      ratio: ratio.toFixed(2),
      latency: `${latency(ours)} (${latency(bare)})`,
      target: `<= ${target.toFixed(2)} x`,
      verdict: atMost(ratio, target),
    };
  });
  const bytes = pick(results.idle, 'bytes'), most = pick(results.highest, 'per_second');
  const calm = median(pick(results.calm, 'p99_ms')), stormy = median(pick(results.herd, 'p99_ms'));
  return [...fanout, {
    what: 'channels wire: user memory per idle connection with one subscription, bytes',
    crier: spread(bytes, group), target: `<= ${group(MEMORY_BYTES)}`, verdict: atMost(median(bytes), MEMORY_BYTES),
  }, {
    what: 'channels wire: deliveries/s to 1000 clients at 4000 publications/s, gather_ms 5',
    crier: spread(most, group), latency: latency(results.highest), target: '>= 1,200,000', verdict: atLeast(median(most), 1_200_000),
  }, {
    what: `channels wire: p99 ms of 100 steady clients while ${group(HERD)} come back and recover ${MISSED} each (without them)`,
    crier: `${stormy.toFixed(1)} (${calm.toFixed(1)}); back in ${spread(pick(results.herd, 'seconds'))} s`,
    ratio: (stormy / calm).toFixed(2), target: '<= 1.20 x', verdict: atMost(stormy / calm, 1.2),
  }];
}
