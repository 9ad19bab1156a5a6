// Reporter of node:test for the test runner: one JSON object a line for each test that has no subtests, and for each
// test that failed by itself; and what tests say by t.diagnostic(), as results called 'note'. (Node 18 has no machine-readable reporter but TAP.)

const UNSELECTED = /^test name does not match/;
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/; // of node:test itself

function describe(error) {
  const cause = error?.cause instanceof Error || typeof error?.cause === 'string' ? error.cause : error;
  return typeof cause === 'string' ? cause : cause?.stack ?? String(cause);
}

export default async function* report(source) {
  const path = [];
  let deepest = -1; // nesting of the event before this one: a parent comes right after its last child
  for await (const { type, data } of source) {
    if (type === 'test:diagnostic' && !SUMMARY.test(data.message)) yield JSON.stringify({ name: data.message, result: 'note' }) + '\n';
    if (type === 'test:start') path[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const isParent = deepest > data.nesting;
    deepest = data.nesting;
    const error = data.details?.error;
    if (isParent && (type === 'test:pass' || error?.failureType === 'subtestsFailed')) continue;
    const skip = data.skip ?? data.todo;
    if (typeof skip === 'string' && UNSELECTED.test(skip)) continue;
    yield JSON.stringify({
      name: [...path.slice(0, data.nesting), data.name].join(' > '),
      result: skip !== undefined && skip !== false ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed',
      detail: type === 'test:fail' ? describe(error) : typeof skip === 'string' ? skip : '',
      duration_ms: data.details?.duration_ms ?? 0,
    }) + '\n';
  }
}
