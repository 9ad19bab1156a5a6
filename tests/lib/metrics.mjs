// Prometheus text as a table of samples.

const unescape = (text) => text.replace(/\\(.)/g, (all, c) => (c === 'n' ? '\n' : c));

function parseLabels(text = '') {
  const labels = {};
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = unescape(value);
  return labels;
}

export function parseMetrics(text) {
  const samples = [];
  const bad = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/.exec(line);
    if (!match) bad.push(line);
    else samples.push({ name: match[1], labels: parseLabels(match[2]), value: Number(match[3].replace('Inf', 'Infinity')) });
  }
  const matching = (name, labels) => samples.filter((s) => s.name === name
    && Object.entries(labels).every(([k, v]) => s.labels[k] === String(v)));
  return {
    samples, bad,
    has: (name, labels = {}) => matching(name, labels).length > 0,
    /** Sum over all samples of that name which have these labels. */
    value: (name, labels = {}) => matching(name, labels).reduce((sum, s) => sum + s.value, 0),
  };
}
