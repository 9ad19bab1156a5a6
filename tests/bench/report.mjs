// The one table, on standard output and in docs/benchmarks.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './programs.mjs';

const columns = [
  ['what', 'measurement'], ['crier', 'crier'], ['raw', 'bare epoll'], ['ratio', 'ratio'],
  ['latency', 'p50 / p99 ms (bare)'], ['target', 'target'], ['verdict', 'verdict'],
];
const BEGIN = '<!-- table: written by tests/bench/run.sh --update-docs -->';
const END = '<!-- end of table -->';

const cell = (row, field) => String(row[field] ?? (field === 'verdict' && row.note ? row.note : '-'));

function headline(bench) {
  const commit = execFileSync('git', ['-C', ROOT, 'describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();
  const day = new Date().toISOString().slice(0, 10);
  return `${day}, ${commit}, ${cpus().length} x ${cpus()[0].model}, Linux ${release()}; ` +
    `${bench.repetitions} repetition${bench.repetitions > 1 ? 's' : ''} of ${bench.seconds} s` +
    `${bench.quick ? ' (--quick: indicative only)' : ''}; payload ${bench.payloadSize} bytes ` +
    `(crier: ${bench.dataSize} of data, ${bench.envelope} of envelope); ` +
    `other processes used at most ${bench.disturbed.toFixed(2)} cores during a run`;
}

export function printTable(rows, bench) {
  const texts = [columns.map(([, title]) => title), ...rows.map((row) => columns.map(([field]) => cell(row, field)))];
  const widths = columns.map((_, i) => Math.max(...texts.map((line) => line[i].length)));
  process.stdout.write(`${headline(bench)}\n\n`);
  for (const line of texts)
    process.stdout.write(`${line.map((text, i) => text.padEnd(widths[i])).join('  ').trimEnd()}\n`);
}

export function updateDocs(rows, bench) {
  const file = join(ROOT, 'docs/benchmarks.md');
  const text = readFileSync(file, 'utf8');
  const begin = text.indexOf(BEGIN), end = text.indexOf(END);
  if (begin < 0 || end < begin)
    throw new Error(`${file} has no place for the table`);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [
    `${headline(bench)}.`, '',
    line(columns.map(([, title]) => title)), line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map(([field]) => cell(row, field)))),
  ].join('\n');
  writeFileSync(file, `${text.slice(0, begin)}${BEGIN}\n${table}\n${text.slice(end)}`);
}
