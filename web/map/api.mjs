/** What the page asks the server by HTTP. */
async function get(path, query = {}, signal = undefined) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined));
  const response = await fetch(`${path}${search.size ? `?${search}` : ''}`, { signal, headers: { accept: 'application/json' } });
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status });
  return response.json();
}

const boxText = ({ west, south, east, north }) => [west, south, east, north].map((degrees) => degrees.toFixed(5)).join(',');

export const api = Object.freeze({
  status: () => get('/api/map/status'),
  organizations: () => get('/api/organization'),
  organization: (id) => get(`/api/organization/${encodeURIComponent(id)}`),
  trail: (vehicle, signal) => get(`/api/trail/${encodeURIComponent(vehicle)}`, {}, signal),
  vehiclesOfLine: (line, signal) => get('/api/vehicles', { line }, signal),
  tracks: (box) => get('/api/tracks', { bbox: boxText(box) }),
  replay: (fromMs, toMs, box, signal) => get('/api/replay', { from: fromMs, to: toMs, bbox: boxText(box) }, signal),
});
