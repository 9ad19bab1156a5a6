// The servers that are compared, and a load of clients and publications upon one of them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program, SERVER_CORE, CLIENT_CORE, benchProgram, program, sleep } from './programs.mjs';

export const CHANNEL = 'bench:x';
const TYPED_SUBSCRIBE = 4294967293;
const PAYLOAD_BYTES = 128;

const config = ({ gatherMs = 0, history = 10, rules = '' }) => `
[server]
listen = "127.0.0.1:0"
loops = 1
web = ""
drain_ms = 100
[limits]
connections = 19000
connections_per_address = 0
handshakes_per_second = 0
rate_messages = 0
ping_ms = "1h"
[log]
level = "warn"
[debug]
insecure = true
[[namespace]]
name = "bench"
history = ${history}
gather_ms = ${gatherMs}
behind = "skip"
subscribe = true
publish = true
rest = true
${rules}`;

async function serving(server, path) {
  const port = Number(await server.line((line) => /ready at http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]));
  return Object.assign(server, { port, path });
}

// One loop thread, and the hub's thread on the same core.
export async function startCrier(bench, options = {}) {
  const directory = bench.workspace.makeDirectory();
  const file = join(directory, 'bench.toml');
  writeFileSync(file, config({ ...options, rules: options.rules?.(directory) }));
  const server = new Program(SERVER_CORE, program('crier'), ['run', '-c', file], { cwd: directory });
  return serving(server, '/ws');
}

export async function startRaw(options) {
  return serving(new Program(SERVER_CORE, benchProgram('bench_raw'), options), '/');
}

export function startPublisher(server, bench, { rate, burst = 1, channel = CHANNEL, first }) {
  return new Program(CLIENT_CORE, benchProgram('bench_publish'),
    ['--port', server.port, '--channel', channel, '--rate', rate, '--burst', burst, '--data-size', bench.dataSize], { first });
}

const commands = (list) => list.map((c) => JSON.stringify(c)).join('\n');
const subscribeAll = (channel, more) => [{ id: 1, connect: {} },
  ...[channel, ...Array.from({ length: more }, (_, i) => `${channel}${i}`)].map((name, i) => ({ id: i + 2, subscribe: { channel: name } }))];

// How the clients of a wire begin: typed, channels (with `more` channels beside the one), or channels over SSE.
const wires = {
  typed: (server, channel) => ['--path', server.path,
    ...(channel ? ['--first', JSON.stringify({ type: TYPED_SUBSCRIBE, payload: { channel } })] : [])],
  channels: (server, channel, { more = 0, position }) => ['--path', '/connection/websocket', '--first', commands(position
    ? [{ id: 1, connect: {} }, { id: 2, subscribe: { channel, recover: true, ...position } }] : subscribeAll(channel, more))],
  sse: (server, channel) => ['--stream', '--path', `/connection/sse?cf_connect=${encodeURIComponent(commands(subscribeAll(channel, 0)))}`],
};

// `yielding` clients leave their core to those who measure, `first` ones take it.
export function startClients(server, { connections, channel, warmup, seconds, wire = 'typed', source = 2, yielding = false, first, ...options }) {
  return new Program(CLIENT_CORE, benchProgram('bench_load'),
    ['--port', server.port, '--connections', connections, '--warmup', warmup, '--source', source,
      '--seconds', seconds, '--server-pid', server.pid, ...wires[wire](server, channel, options)], { nice: yielding ? 19 : 0, first });
}

// Connects the clients, then runs `during` (which may return a program to be stopped at the end) while they measure.
export async function load(server, options, during = () => undefined) {
  const clients = startClients(server, options);
  const ready = await clients.event('ready', 90);
  const source = await during(ready);
  const result = await clients.event('result', options.warmup + options.seconds + 60);
  await clients.exited;
  await source?.stop();
  const published = source ? await source.event('result') : undefined;
  if (result.closed)
    throw new Error(`${server.name} closed ${result.closed} connections`);
  if (published?.refused || published?.failed)
    throw new Error(`${server.name} refused ${published.refused ?? published.failed} publications`);
  return { ...result, ready, published };
}

export async function withServer(starting, use) {
  const server = await starting;
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

// Of the server's metrics; where it has labels, the sum.
export async function counter(server, name) {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  return [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\d+)`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
}

// How fast `count` records are taken in. The clock runs from the first look at the counter that shows any, so that start-up is
// left out; `delivered` is a counter that shows that they also reached the client.
export async function consume(server, count, counted, delivered) {
  const deadline = performance.now() + 120_000;
  let first, last;
  do {
    await sleep(0.02);
    last = { at: performance.now(), count: await counter(server, counted) };
    first ??= last.count ? last : undefined;
    if (last.at > deadline)
      throw new Error(`only ${last.count} of ${count} records were taken in within 120 s`);
  } while (last.count < count);
  const told = await counter(server, delivered);
  if (!told)
    throw new Error('the client got nothing: no record was framed');
  return { records_per_second: (last.count - first.count) / (last.at - first.at) * 1000, records: count, before: first.count, delivered: told };
}

// How large the data of a publication must be for crier's WebSocket payload to have the size of the bare server's.
export async function calibrate(bench, wire = 'typed') {
  const dataSize = 64;
  const result = await withServer(startCrier(bench), (server) =>
    load(server, { connections: 1, channel: CHANNEL, wire, warmup: 0.5, seconds: 1 },
      () => startPublisher(server, { dataSize }, { rate: 200 })));
  if (!result.messages)
    throw new Error('no publication arrived');
  const envelope = Math.round(result.payload_bytes - dataSize);
  const least = 43;
  const payloadSize = Math.max(PAYLOAD_BYTES, envelope + least);
  return { dataSize: payloadSize - envelope, payloadSize, envelope };
}
