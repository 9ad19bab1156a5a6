// What ./test.sh runs: a table of suites, and the jobs (one process each) that a suite has for a filter.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readCtest, readExit, readNodeTest, readSummary } from './results.mjs';

export const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');
export const logDir = join(root, '.cache', 'test');
const reporter = join(root, 'tests', 'lib', 'json_reporter.mjs');

// What browsers have and Debian's Node.js 18 only on request: the client library needs it.
const nodeFlags = process.versions.node.startsWith('18.') ? ['--experimental-global-customevent'] : [];

const sanitizers = {
  ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  TSAN_OPTIONS: `second_deadlock_stack=1:suppressions=${join(root, 'tests/tsan.supp')}`,
};

// What crosses threads: sessions on two loops, the hub between them.
const threaded = /^(delivery|subscribe|typed|rest|polling|drain|slow-reader|keyed|restart|channels)/;

/* weight: cores that a job keeps busy; 'all' runs alone, for tests that measure time. A suite of `full` runs only with
 * --full. */
const suites = [
  { name: 'unit', kind: ctest, build: 'release', timeout_s: 300 },
  { name: 'unit-asan', kind: ctest, build: 'asan', timeout_s: 600 },
  { name: 'unit-tsan', kind: ctest, build: 'tsan', timeout_s: 600 },
  { name: 'e2e', kind: nodeFiles, folder: 'e2e', build: 'release', timeout_s: 120 },
  { name: 'e2e-asan', kind: nodeFiles, folder: 'e2e', build: 'asan', timeout_s: 240 },
  { name: 'e2e-tsan', kind: nodeFiles, folder: 'e2e', build: 'tsan', timeout_s: 300, files: threaded },
  { name: 'conformance', kind: script, path: 'tests/conformance/run.sh', build: 'release', timeout_s: 900 },
  { name: 'brokers', kind: nodeFiles, folder: 'brokers', build: 'release', timeout_s: 300, weight: 2 },
  { name: 'browser', kind: nodeFiles, folder: 'browser', build: 'release', timeout_s: 300, weight: 2 },
  { name: 'fault', kind: nodeFiles, folder: 'fault', build: 'release', timeout_s: 300, weight: 'all' },
  { name: 'fuzz', kind: fuzzTargets, build: 'fuzz', full: true, timeout_s: 180 },
  { name: 'clang', kind: clangBuild, full: true, timeout_s: 900, weight: 2 },
];

const directories = { release: 'build', asan: 'build-asan', tsan: 'build-tsan', fuzz: 'build-fuzz' };

function environment(suite) {
  const build = suite.build && join(root, directories[suite.build]);
  return { ...process.env, ...sanitizers, CI: 'true', ...(build && { CRIER_BUILD: build }) };
}

function newJob(suite, name, command, args, read, more = {}) {
  const file = `${suite.name}-${name}`.replace(/[^\w.-]+/g, '-');
  return { suite: suite.name, name, command, args, read, build: suite.build, weight: suite.weight ?? 1, env: environment(suite),
    timeout_s: suite.timeout_s, log: join(logDir, `${file}.log`), output: join(logDir, `${file}.out`), ...more };
}

function filesIn(folder, pattern) {
  const path = join(root, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => pattern.test(name)).sort() : [];
}

/** One process for all programs of a build: ctest spreads them itself. */
function ctest(suite, { filter }) {
  const names = filesIn('tests/unit', /^test_.*\.c$/).map((file) => `unit.${file.slice(5, -2)}`)
    .filter((name) => filter.test(`${suite.name}/${name}`));
  if (names.length === 0) return [];
  const job = newJob(suite, 'ctest', 'ctest', [], readCtest, { titles: names });
  job.args = ['--test-dir', join(root, directories[suite.build]), '-j', '2', '--output-junit', job.output,
    '--output-on-failure', '--test-output-size-passed', '1000000', '--test-output-size-failed', '1000000',
    '--no-tests=error', '-R', `^(${names.map((n) => n.replaceAll('.', '\\.')).join('|')})$`];
  return [job];
}

const titlesOf = (path) => [...readFileSync(path, 'utf8').matchAll(/^\s*(?:await )?(?:test|it|t\.test)\(\s*(['"`])(.+?)\1/gm)]
  .map((match) => match[2].replace(/\\(.)/g, '$1'));

/** What a template literal puts in may be anything. */
const patternOf = (title) => title.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')).join('.*');

/** One process a file; CRIER_FULL=1 in its environment asks for the long form. A filter that fits only some titles of a file selects those. */
function nodeFiles(suite, { filter, full }) {
  const jobs = [];
  for (const file of filesIn(`tests/${suite.folder}`, /\.test\.mjs$/)) {
    const name = file.replace('.test.mjs', '');
    if (suite.files && !suite.files.test(name)) continue;
    const path = join(root, 'tests', suite.folder, file);
    const titles = titlesOf(path);
    const whole = filter.test(`${suite.name}/${name}`);
    const chosen = whole ? titles : titles.filter((title) => filter.test(`${suite.name}/${name}/${title}`));
    if (!whole && chosen.length === 0) continue;
    const job = newJob(suite, name, process.execPath, [], readNodeTest, { titles: chosen });
    if (full) job.env = { ...job.env, CRIER_FULL: '1' };
    job.args = [...nodeFlags, `--test-reporter=${reporter}`, `--test-reporter-destination=${job.output}`,
      ...(whole ? [] : chosen.map((title) => `--test-name-pattern=^${patternOf(title)}$`)), path];
    jobs.push(job);
  }
  return jobs;
}

function script(suite, { filter, full }) {
  if (!existsSync(join(root, suite.path)) || !filter.test(suite.name)) return [];
  return [newJob(suite, suite.name, join(root, suite.path), full ? ['--full'] : [], readSummary, full ? { timeout_s: 1800 } : {})];
}

/** Every fuzz target for a minute, starting from the golden frames. */
function fuzzTargets(suite, { filter }) {
  return filesIn('tests/fuzz', /^fuzz_.*\.c$/).map((file) => file.slice(0, -2))
    .filter((name) => filter.test(`${suite.name}/${name}`))
    .map((name) => newJob(suite, name, join(root, directories.fuzz, 'fuzz', name),
      ['-max_total_time=60', '-rss_limit_mb=1024', `-artifact_prefix=${logDir}/`], readExit));
}

/** The whole tree with the other compiler, without a warning. */
function clangBuild(suite, { filter }) {
  const directory = join(root, 'build-clang');
  const build = `CC=clang CXX=clang++ cmake -S ${root} -B ${directory} -G Ninja -DCRIER_TESTS=ON && cmake --build ${directory} -- --quiet`;
  return filter.test(suite.name) ? [newJob(suite, 'clang', 'sh', ['-c', build], readExit)] : [];
}

/** Jobs for {filter: RegExp, builds: Set of names, full: boolean}, in the order of the table. */
export function plan(options) {
  return suites.filter((s) => (options.full || !s.full) && (!s.build || s.build === 'fuzz' || options.builds.has(s.build)))
    .flatMap((suite) => suite.kind(suite, options));
}
