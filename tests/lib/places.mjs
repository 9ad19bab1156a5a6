// Vehicles on a keyed channel whose records carry a place, and clients of the channels wire that watch a box of it.
import { decoded, keepTable } from './channels.mjs';
import { API_KEY, slowness, startCrier, until } from './crier.mjs';

export const CHANNEL = 'bus:all';
const headers = { 'X-API-Key': API_KEY };

/** A server whose channel comes from a log by a source that reads the place from the payload. */
export const startPlaces = (t, { server = {}, namespace = {}, source = {}, more = [], ...options } = {}) => startCrier({ t, ...options, config: {
  server: { drain_ms: 200, ...server }, limits: { rate_messages: 0 },
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
  namespace: [{ name: 'bus', keyed: true, history: 1000, ...namespace }, { name: 'flat', keyed: true, history: 10 }, { name: 'plain', history: 10 }, ...more],
  source: [{ bridge: 'log', topic: 'bus', channel: CHANNEL, from: 'history', latitude: '{payload.lat}', longitude: '{payload.lon}',
    tags: { mode: '{payload.mode}' }, ...source }],
  sink: [{ channel: 'bus:*', bridge: 'log', topic: 'bus' }],
} });

async function change(server, method, body) {
  const { json } = await server.request('POST', `/api/${method}`, { json: { channel: CHANNEL, ...body }, headers });
  if (!json.result) throw new Error(JSON.stringify(json));
}
/** Puts a vehicle somewhere: {lat, lon, mode, ..}. */
export const put = (server, key, data) => change(server, 'map_publish', { key, data: { mode: 'bus', ...data } });
export const remove = (server, key) => change(server, 'map_remove', { key });

export const box = (south, west, north, east) => ({
  south_west: { latitude: south, longitude: west }, north_east: { latitude: north, longitude: east },
});
export const inside = (b, { lat, lon }) => {
  const [west, east] = [b.south_west.longitude, b.north_east.longitude];
  const between = west <= east ? lon >= west && lon <= east : lon >= west || lon <= east;
  return between && lat >= b.south_west.latitude && lat <= b.north_east.latitude;
};

const encode = (client, value) => (client.protobuf_ ? new TextEncoder().encode(JSON.stringify(value)) : value);

/** Watches a box as an application would: `.rows` is its table. `protobuf` has to be that of the client. */
export async function watch(client, geo, { protobuf = false, channel = CHANNEL, ...options } = {}) {
  client.protobuf_ = protobuf;
  const sub = client.newMapSubscription(channel, { data: encode(client, { geo }), minResubscribeDelay: 20, maxResubscribeDelay: 100, ...options });
  keepTable(sub).states = [];
  for (const name of ['subscribed', 'unsubscribed', 'error']) sub.on(name, (ctx) => sub.states.push({ name, ...ctx }));
  sub.subscribe();
  await sub.ready(5000 * slowness);
  /** Changes the box in place; `keep`: the next subscribe asks for it, too. */
  sub.move = async (to, { keep = true } = {}) => {
    if (keep) sub.setData(encode(client, { geo: to }));
    return decoded((await client.rpc('geo', encode(client, { channel, ...to }))).data);
  };
  return sub;
}

const sorted = (map) => Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
export const rows = (sub) => sorted(sub.rows);
/** What lies in a box of a model (a Map of key to data). */
export const within = (model, b, wanted = () => true) => sorted([...model].filter(([, v]) => inside(b, v) && wanted(v)));
/** Waits until the client's table is that. */
export async function holds(sub, expected, what = 'the table') {
  const text = JSON.stringify(expected);
  await until(() => JSON.stringify(rows(sub)) === text, () => `${what}: has ${JSON.stringify(rows(sub))}, not ${text}`, 10000 * slowness);
}
