// Reads what the runners leave behind: each function gives a list of {name, result, detail}, result being 'passed',
// 'failed' or 'skipped'.
import { readFileSync } from 'node:fs';

const lastLines = (text, count) => text.trimEnd().split('\n').slice(-count).join('\n');

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** What a process that went wrong without naming a test has to answer for. */
function died(job, exit, log) {
  const how = exit.timeout ? `ended after ${job.timeout_s} s` : exit.signal ? `died of ${exit.signal}` : `exit ${exit.code}`;
  return { name: job.name, result: 'failed', detail: `${how}\n${lastLines(log, 60)}` };
}

/** Lines of json_reporter.mjs; a file that ends badly without a failed test is a failure of its own. */
export function readNodeTest(job, exit, log) {
  const results = readIfThere(job.output).split('\n').filter(Boolean).map((line) => JSON.parse(line));
  if (exit.code !== 0 && !results.some((r) => r.result === 'failed')) results.push(died(job, exit, log));
  if (results.every((r) => r.result === 'note')) results.push({ name: job.name, result: 'failed', detail: 'the file has no tests' });
  return results;
}

const unescapeXml = (text) => text.replace(/&(lt|gt|quot|apos|amp|#x?[0-9a-f]+);/gi, (all, name) => {
  const named = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return named[name] ?? String.fromCodePoint(name[1] === 'x' ? parseInt(name.slice(2), 16) : Number(name.slice(1)));
});

/** The tests inside one cmocka program, by what it printed; several groups may be in it. */
function readCmocka(program, output) {
  const results = [];
  const words = { OK: 'passed', FAILED: 'failed', SKIPPED: 'skipped' };
  for (const { 1: word, 2: name, index } of output.matchAll(/^\[ +(OK|FAILED|SKIPPED) +\] (\w+)$/gm)) {
    if (results.some((r) => r.name === `${program}.${name}`)) continue; // failed ones are listed a second time at the end
    const began = output.lastIndexOf(`[ RUN      ] ${name}\n`, index);
    const said = output.slice(Math.max(began, 0), index);
    results.push({ name: `${program}.${name}`, result: words[word], detail: word === 'FAILED' ? lastLines(said, 60) : '' });
  }
  return results;
}

/** The JUnit file of ctest: one testcase a program, the program's output inside. */
export function readCtest(job, exit, log) {
  const results = [];
  const cases = /<testcase name="([^"]*)"[^>]*?status="(\w+)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const [, program, status, body = ''] of readIfThere(job.output).matchAll(cases)) {
    const output = unescapeXml(/<system-out>([\s\S]*?)<\/system-out>/.exec(body)?.[1] ?? '');
    const inside = readCmocka(program, output);
    const said = (result) => inside.some((r) => r.result === result);
    if (status === 'notrun' || status === 'disabled') inside.push({ name: program, result: 'skipped', detail: status });
    else if (status === 'fail' && !said('failed'))
      inside.push({ name: program, result: 'failed', detail: lastLines(output, 60) });
    else if (inside.length === 0) inside.push({ name: program, result: 'passed', detail: '' });
    results.push(...inside);
  }
  if (results.length === 0 || (exit.code !== 0 && !results.some((r) => r.result === 'failed')))
    results.push(died(job, exit, log));
  return results;
}

/** A program that ends with the line `N passed, N failed, N skipped`; lines `FAILED name: ...` and `SKIPPED name: ...`
 * before it give names to the counts. */
export function readSummary(job, exit, log) {
  const found = [...log.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1);
  if (!found) return [died(job, exit, log)];
  const results = [];
  ['passed', 'failed', 'skipped'].forEach((result, column) => {
    const named = [...log.matchAll(new RegExp(`^${result.toUpperCase()} ([^:\\n]+):? ?(.*)$`, 'gm'))];
    for (let i = 0; i < Number(found[column + 1]); i++)
      results.push({ name: named[i]?.[1] ?? `${job.name} ${i + 1}`, result,
        detail: named[i]?.[2] || (result === 'failed' ? lastLines(log, 60) : '') });
  });
  if (exit.code !== 0 && !results.some((r) => r.result === 'failed')) results.push(died(job, exit, log));
  return results;
}

/** A program whose exit code is all it has to say. */
export function readExit(job, exit, log) {
  return exit.code === 0 ? [{ name: job.name, result: 'passed', detail: '' }] : [died(job, exit, log)];
}
