// Runs the measurements: repetitions outside, variants inside, so that a slow minute of the machine hits all variants alike.
import { parseArgs } from 'node:util';
import { availableParallelism } from 'node:os';
import { Program, makeWorkspace } from './programs.mjs';
import { calibrate } from './servers.mjs';
import { QUIET_CORES, disturbance, waitForQuiet } from './disturbance.mjs';
import { printTable, updateDocs } from './report.mjs';
import * as fanout from './measure_fanout.mjs';
import * as idle from './measure_idle.mjs';
import * as stream from './measure_stream.mjs';
import * as highest from './measure_highest.mjs';
import * as embedded from './measure_embedded.mjs';
import * as kafka from './measure_kafka.mjs';
import * as mapping from './measure_mapping.mjs';
import * as polls from './measure_polls.mjs';
import * as channels from './measure_channels.mjs';
import * as map from './measure_map.mjs';

const measurements = { fanout, idle, stream, highest, embedded, kafka, mapping, polls, channels, map };

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, 'update-docs': { type: 'boolean' }, patience: { type: 'string' } },
});

function chosen() {
  const unknown = wanted.filter((name) => !measurements[name]);
  if (unknown.length)
    throw new Error(`no measurement is called ${unknown.join(', ')}; there are ${Object.keys(measurements).join(', ')}`);
  const names = wanted.length ? wanted : Object.keys(measurements);
  const tableOf = (name) => measurements[name].table ?? 'main';
  const left = Object.keys(measurements).filter((name) => !names.includes(name) && names.some((n) => tableOf(n) === tableOf(name)));
  if (flags['update-docs'] && left.length)
    throw new Error(`--update-docs writes whole tables: ${left.join(', ')} would be missing`);
  return names;
}

// Repeats a run that others disturbed, as long as there is patience; then it counts as it is, and the table says so.
async function undisturbed(variant, bench, pids) {
  for (;;) {
    await waitForQuiet(bench.patience, pids);
    const { result, others } = await disturbance(variant.run, pids);
    if (others <= QUIET_CORES || bench.patience.seconds <= 0) {
      bench.disturbed = Math.max(bench.disturbed, others);
      return { ...result, others: Number(others.toFixed(3)) };
    }
    bench.patience.seconds -= bench.warmup + bench.seconds;
    process.stderr.write(`  again: others used ${others.toFixed(2)} cores\n`);
  }
}

const REPETITIONS = 3;
const repetitionsOf = (bench, measurement) => (bench.quick ? 1 : measurement.repetitions ?? REPETITIONS);

async function measure(name, bench) {
  const measurement = measurements[name];
  const missing = await measurement.missing?.(bench);
  if (missing)
    return [{ what: name, crier: 'not measured', note: missing }];
  const context = await measurement.open?.(bench);
  const variants = measurement.variants(bench, context);
  const results = Object.fromEntries(variants.map((v) => [v.label, []]));
  try {
    const repetitions = repetitionsOf(bench, measurement);
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const variant of variants) {
        const result = await undisturbed(variant, bench, measurement.pids?.(context));
        results[variant.label].push(result);
        process.stderr.write(`${name} ${repetition + 1}/${repetitions} ${variant.label}: ${JSON.stringify(result)}\n`);
      }
    }
  } finally {
    await measurement.close?.(context);
  }
  return measurement.rows(results);
}

async function main() {
  const names = chosen();
  if (availableParallelism() < 2)
    throw new Error('two cores are needed: one for the server, one for its clients');
  const bench = {
    workspace: makeWorkspace(),
    quick: Boolean(flags.quick),
    warmup: flags.quick ? 0.5 : 1,
    seconds: flags.quick ? 2 : 4,
    patience: { seconds: Number(flags.patience ?? (flags.quick ? 0 : 300)) },
    disturbed: 0,
    // With 10,000 clients a burst of ten comes once a second: a longer window holds more of them.
    window(connections) {
      return { warmup: this.warmup, seconds: this.seconds * (connections > 5000 ? 2 : 1) };
    },
  };
  try {
    Object.assign(bench, await calibrate(bench));
    const tables = {};
    for (const name of names) {
      const { table = 'main', columns } = measurements[name];
      tables[table] ??= { name: table, columns, rows: [], repetitions: [] };
      tables[table].repetitions.push(repetitionsOf(bench, measurements[name]));
      tables[table].rows.push(...await measure(name, bench));
    }
    for (const table of Object.values(tables)) {
      printTable(table, bench);
      if (flags['update-docs'])
        updateDocs(table, bench);
    }
  } finally {
    await Program.stopAll();
    bench.workspace.remove();
  }
}

main().catch((error) => {
  process.stderr.write(`bench: ${error.stack}\n`);
  process.exitCode = 1;
});
