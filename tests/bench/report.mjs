// The tables, on standard output and in docs/benchmarks.md: one for most measurements, and those that have their own columns.
import { readFileSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './programs.mjs';

const COLUMNS = [
  ['what', 'measurement'], ['crier', 'crier'], ['raw', 'bare epoll'], ['ratio', 'ratio'],
  ['latency', 'p50 / p99 ms (bare)'], ['target', 'target'], ['verdict', 'verdict'],
];
const begin = (name) => `<!-- table ${name}: written by tests/bench/run.sh --update-docs -->`;
const END = '<!-- end of table -->';
/* As it is at the start: --update-docs changes a file. */
const commit = execFileSync('git', ['-C', ROOT, 'describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();

const cell = (row, field) => String(row[field] ?? (field === 'verdict' && row.note ? row.note : '-'));

function headline({ name, repetitions }, bench) {
  const [least, most] = [Math.min(...repetitions), Math.max(...repetitions)];
  const day = new Date().toISOString().slice(0, 10);
  const payload = `payload ${bench.payloadSize} bytes (crier: ${bench.dataSize} of data, ${bench.envelope} of envelope); `;
  return `${day}, ${commit}, ${cpus().length} x ${cpus()[0].model}, Linux ${release()}; ` +
    `${least === most ? most : `${least} to ${most}`} repetition${most > 1 ? 's' : ''}${name === 'main' ? ` of ${bench.seconds} s` : ''}` +
    `${bench.quick ? ' (--quick: indicative only)' : ''}; ${name === 'main' ? payload : ''}` +
    `other processes used at most ${bench.disturbed.toFixed(2)} cores during a run`;
}

export function printTable(table, bench) {
  const { columns = COLUMNS, rows } = table;
  const texts = [columns.map(([, title]) => title), ...rows.map((row) => columns.map(([field]) => cell(row, field)))];
  const widths = columns.map((_, i) => Math.max(...texts.map((line) => line[i].length)));
  process.stdout.write(`${headline(table, bench)}\n\n`);
  for (const line of texts)
    process.stdout.write(`${line.map((text, i) => text.padEnd(widths[i])).join('  ').trimEnd()}\n`);
}

export function updateDocs(table, bench) {
  const { columns = COLUMNS, rows } = table;
  const file = join(ROOT, 'docs/benchmarks.md');
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(begin(table.name)), to = text.indexOf(END, from);
  if (from < 0 || to < from)
    throw new Error(`${file} has no place for the table ${table.name}`);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const lines = [
    `${headline(table, bench)}.`, '',
    line(columns.map(([, title]) => title)), line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map(([field]) => cell(row, field)))),
  ].join('\n');
  writeFileSync(file, `${text.slice(0, from)}${begin(table.name)}\n${lines}\n${text.slice(to)}`);
}
