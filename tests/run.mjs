// Runs the suites of lib/suites.mjs and sums them up. ./test.sh installs and builds what they need first.
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { plan, logDir } from './lib/suites.mjs';

const cores = availableParallelism?.() ?? cpus().length;
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const running = new Set();

function readOptions() {
  const flag = { type: 'boolean', default: false };
  const { values, positionals } = parseArgs({ allowPositionals: true,
    options: { full: flag, list: flag, builds: flag, release: flag, asan: flag, tsan: flag } });
  const chosen = ['release', 'asan', 'tsan'].filter((name) => values[name]);
  return { ...values, builds: new Set(chosen.length ? chosen : ['release', 'asan', 'tsan']), listBuilds: values.builds,
    filter: new RegExp(positionals.join('|')) };
}

/** Ends the process and all it has started: they share a process group of their own. */
function end(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // it has gone already
  }
}

/** Runs one job to its end; output goes to its log file. */
function start(job) {
  rmSync(job.output, { force: true });
  const log = openSync(job.log, 'w');
  const child = spawn(job.command, job.args, { env: job.env, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  running.add(child);
  return new Promise((done) => {
    let timeout = false;
    const timer = setTimeout(() => {
      timeout = true;
      end(child);
    }, job.timeout_s * 1000);
    const finish = (code, signal) => {
      clearTimeout(timer);
      end(child);
      running.delete(child);
      done({ code, signal, timeout });
    };
    child.on('error', (error) => finish(error.code, null));
    child.on('exit', finish);
  });
}

const firstLines = (text, count) => text.trim().split('\n').slice(0, count).join('\n');

function report(job, results, duration) {
  const count = (result) => results.filter((r) => r.result === result).length;
  const failed = count('failed');
  const parts = [`${count('passed')} passed`, failed && `${failed} failed`, count('skipped') && `${count('skipped')} skipped`];
  console.log(`${failed ? 'FAIL' : 'ok  '} ${`${job.suite}/${job.name}`.padEnd(40)} ${parts.filter(Boolean).join(', ').padEnd(24)} ${seconds(duration)}`);
  for (const r of results.filter((one) => one.result === 'note')) console.log(indent(r.name));
  for (const r of results.filter((one) => one.result === 'failed')) console.log(indent(`${r.name}\n${firstLines(r.detail, 6)}`));
}

async function runJob(job) {
  const started = Date.now();
  const exit = await start(job);
  const log = readFileSync(job.log, 'utf8');
  const results = job.read(job, exit, log).map((r) => ({ ...r, suite: job.suite, job: job.name, log: job.log }));
  report(job, results, Date.now() - started);
  return { suite: job.suite, results, duration: Date.now() - started };
}

/** As many jobs at a time as there are cores; one of weight 'all' waits until it is alone. */
async function runAll(jobs) {
  const weightOf = (job) => (job.weight === 'all' ? cores : Math.min(job.weight, cores));
  const waiting = [...jobs.filter((j) => j.weight !== 'all'), ...jobs.filter((j) => j.weight === 'all')];
  const active = new Set();
  const done = [];
  let busy = 0;
  while (waiting.length > 0 || active.size > 0) {
    const next = waiting.findIndex((job) => weightOf(job) <= cores - busy);
    if (next >= 0 && (waiting[next].weight !== 'all' || busy === 0)) {
      const [job] = waiting.splice(next, 1);
      busy += weightOf(job);
      const run = runJob(job).then((outcome) => {
        done.push(outcome);
        busy -= weightOf(job);
        active.delete(run);
      });
      active.add(run);
    } else {
      await Promise.race(active);
    }
  }
  return done;
}

function indent(text) {
  const lines = text.trimEnd().split('\n');
  const shown = lines.length > 60 ? [...lines.slice(0, 30), `... ${lines.length - 60} lines ...`, ...lines.slice(-30)] : lines;
  return shown.map((line) => `    ${line}`).join('\n');
}

/** Failures with their logs, skipped tests by name, time of each suite, and the one line that counts. */
function summarize(outcomes, wall) {
  const all = outcomes.flatMap((o) => o.results);
  const of = (result) => all.filter((r) => r.result === result);
  for (const r of of('failed')) console.log(`\nFAILED ${r.suite}/${r.job}: ${r.name}  (log: ${r.log})\n${indent(r.detail)}`);
  if (of('skipped').length) console.log('\nskipped:');
  for (const r of of('skipped')) console.log(`    ${r.suite}/${r.job}: ${r.name}${r.detail ? `: ${r.detail}` : ''}`);
  console.log('\ntime of each runner, added up over its processes:');
  for (const suite of new Set(outcomes.map((o) => o.suite)))
    console.log(`    ${suite.padEnd(14)} ${seconds(outcomes.filter((o) => o.suite === suite).reduce((sum, o) => sum + o.duration, 0))}`);
  console.log(`    ${'in all'.padEnd(14)} ${seconds(wall)}\n`);
  console.log(`${of('passed').length} passed, ${of('failed').length} failed, ${of('skipped').length} skipped`);
  return of('failed').length === 0 && all.length > 0;
}

const options = readOptions();
const jobs = plan(options);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    running.forEach(end);
    process.exit(130);
  });
if (options.listBuilds) {
  console.log([...new Set(jobs.map((j) => j.build).filter(Boolean))].join(' '));
} else if (options.list) {
  for (const job of jobs) console.log([`${job.suite}/${job.name}`, ...(job.titles ?? []).map((t) => `    ${t}`)].join('\n'));
} else {
  mkdirSync(logDir, { recursive: true });
  const started = Date.now();
  const green = summarize(await runAll(jobs), Date.now() - started);
  process.exitCode = green ? 0 : 1;
}
