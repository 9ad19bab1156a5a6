// Writes a configuration object as TOML: {server: {...}, namespace: [{...}]} becomes [server] and [[namespace]].

const isTable = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTableList = (value) => Array.isArray(value) && value.some(isTable);

function formatValue(value) {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(', ')}]`;
  if (isTable(value)) return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)} = ${formatValue(v)}`).join(', ')}}`;
  return JSON.stringify(value);
}

function formatTable(head, table) {
  const nested = Object.entries(table).filter(([key, value]) => isTable(value) && head === '[server]' && key === 'tls');
  const lines = Object.entries(table).filter(([key, value]) => value !== undefined && !nested.some(([k]) => k === key))
    .map(([key, value]) => `${key} = ${formatValue(value)}`);
  const below = nested.map(([key, value]) => formatTable(`${head.slice(0, -1)}.${key}]`, value));
  return [`${head}\n${lines.join('\n')}\n`, ...below].join('\n');
}

export function writeToml(config) {
  return Object.entries(config).flatMap(([name, value]) =>
    (isTableList(value) ? value.map((table) => formatTable(`[[${name}]]`, table)) : Array.isArray(value) ? [] : [formatTable(`[${name}]`, value)]))
    .join('\n');
}

/** `over` on top of `base`: tables key by key; lists, and lists of tables, are replaced. */
export function mergeConfig(base, over) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over))
    merged[key] = isTable(value) && isTable(base[key]) ? mergeConfig(base[key], value) : value;
  return merged;
}
