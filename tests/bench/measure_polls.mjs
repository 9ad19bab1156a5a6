// Polls a second over REST with wrk: nothing new, nothing new by ETag, one new publication.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CLIENT_CORE, sleep } from './programs.mjs';
import { CHANNEL, startCrier, startPublisher, withServer } from './servers.mjs';
import { atLeast, group, median, pick, spread } from './statistics.mjs';

const TARGET = 60_000;
const PUBLICATIONS = 20;
const run = promisify(execFile);

export const missing = () => run('wrk', ['-v']).then(() => undefined, (e) => (e.code === 'ENOENT' ? 'wrk is not installed' : undefined));

async function wrk(bench, url, headers) {
  const { stdout } = await run('taskset', ['-c', String(CLIENT_CORE), 'wrk', '-t1', '-c50', `-d${bench.seconds}s`,
    '--latency', ...headers.flatMap((h) => ['-H', h]), url]);
  if (/Non-2xx|Socket errors/.test(stdout))
    throw new Error(`polls failed:\n${stdout}`);
  const [, p99, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout);
  return {
    per_second: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]),
    p99_ms: Number(p99) * { us: 1e-3, ms: 1, s: 1e3 }[unit],
  };
}

async function fill(server, bench) {
  const publisher = startPublisher(server, bench, { rate: 1000, burst: PUBLICATIONS });
  await sleep(0.2);
  await publisher.stop();
}

function poll(bench, behind, withTag) {
  return withServer(startCrier(bench, { history: 100 }), async (server) => {
    await fill(server, bench);
    const channel = `http://127.0.0.1:${server.port}/channels/${CHANNEL}`;
    const { epoch, offset } = await (await fetch(channel)).json();
    const url = `${channel}?since=${epoch}:${offset - behind}`;
    const answer = await fetch(url);
    const { publications } = await answer.json();
    if (publications.length !== behind)
      throw new Error(`${url} gave ${publications.length} publications instead of ${behind}`);
    return wrk(bench, url, withTag ? [`If-None-Match: ${answer.headers.get('etag')}`] : []);
  });
}

export const variants = (bench) => [
  { label: 'nothing new', run: () => poll(bench, 0, false) },
  { label: 'nothing new, ETag', run: () => poll(bench, 0, true) },
  { label: 'one publication', run: () => poll(bench, 1, false) },
];

export const rows = (results) => Object.entries(results).map(([label, ours]) => ({
  what: `polls/s, ${label}, 50 keep-alive connections`,
  crier: spread(pick(ours, 'per_second'), group),
  latency: `- / ${median(pick(ours, 'p99_ms')).toFixed(1)}`,
  target: `>= ${group(TARGET)}`,
  verdict: atLeast(median(pick(ours, 'per_second')), TARGET),
}));
