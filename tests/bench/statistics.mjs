// Medians, spread and cells of the table.
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const pick = (results, field) => results.map((r) => r[field]);

export const group = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ',');

// "median (least-most)", only the median when there is one value.
export function spread(values, format = (v) => v.toFixed(2)) {
  if (values.length < 2)
    return format(values[0]);
  return `${format(median(values))} (${format(Math.min(...values))}-${format(Math.max(...values))})`;
}

export const latency = (results) =>
  `${median(pick(results, 'p50_ms')).toFixed(1)} / ${median(pick(results, 'p99_ms')).toFixed(1)}`;

export const atMost = (value, target) => (value <= target ? 'met' : `missed by ${((value / target - 1) * 100).toFixed(0)}%`);
export const atLeast = (value, target) => (value >= target ? 'met' : `missed by ${((1 - value / target) * 100).toFixed(0)}%`);
