/**
 * The typed wire in its binary form with codec=protobuf: little-endian uint32 type, then the payload. The messages of the bus map have
 * schemas (examples/realtimemap/realtimemap.proto), control types carry JSON with the id inside.
 */
import { message } from './protobuf.mjs';

export const TYPE = Object.freeze({ VIEWPORT: 101, NOTIFICATION: 103, VEHICLES: 104 });
const CONTROL = 0xffffff00;

export const FLAG = Object.freeze({ DOORS_OPEN: 1, NO_FIX: 2, SIMULATED: 4 });
export const MODES = Object.freeze(['bus', 'tram', 'train', 'ferry', 'metro', 'ubus', 'robot', 'other']);

const Corner = message({ longitude: [1, 'double'], latitude: [2, 'double'] });

export const Viewport = message({
  southWest: [1, Corner],
  northEast: [2, Corner],
  modes: [3, ['string']],
  lines: [4, ['string']],
  operators: [5, ['string']],
  form: [6, 'string'],
  notify: [7, 'bool'],
});

export const Notification = message({
  vehicle_id: [1, 'string'],
  org_id: [2, 'string'],
  org_name: [3, 'string'],
  zone_name: [4, 'string'],
  event: [5, 'string'],
});

export const Vehicle = message({
  id: [1, 'string'],
  lat: [2, 'sint32'],
  lon: [3, 'sint32'],
  heading: [4, 'uint32'],
  speed: [5, 'uint32'],
  flags: [6, 'uint32'],
  time_ms: [7, 'sint64'],
  mode: [8, 'uint32'],
  line: [9, 'string'],
  headsign: [10, 'string'],
  delay: [11, 'sint32'],
  next_stop: [12, 'string'],
  occupancy: [13, 'uint32'],
  route: [14, 'string'],
  direction: [15, 'uint32'],
});

export const Batch = message({ reset: [1, 'bool'], time_ms: [2, 'sint64'], vehicles: [3, [Vehicle]], left: [4, ['string']] });

const schemas = new Map([[TYPE.VIEWPORT, Viewport], [TYPE.NOTIFICATION, Notification], [TYPE.VEHICLES, Batch]]);
const json = { decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)), encode: (value) => new TextEncoder().encode(JSON.stringify(value)) };

export function encode(type, payload, id) {
  const control = type >= CONTROL;
  const schema = control ? json : schemas.get(type);
  const body = schema.encode(control && id !== undefined ? { id, ...payload } : payload);
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, type, true);
  bytes.set(body, 4);
  return bytes;
}

/** A message of the other side, or null when it is none that is known here. */
export function decode(data) {
  if (!(data instanceof ArrayBuffer) || data.byteLength < 4) return null;
  const type = new DataView(data).getUint32(0, true);
  const schema = type >= CONTROL ? json : schemas.get(type);
  try {
    const payload = schema?.decode(new Uint8Array(data, 4));
    if (!payload) return null;
    return type >= CONTROL ? { type, id: payload.id, channel: payload.channel, payload } : { type, payload };
  } catch {
    return null;
  }
}

/** For CrierClient's option `wire`. */
export const binaryWire = Object.freeze({ encode, decode, binaryType: 'arraybuffer' });
