// A client of the map on the typed wire with protobuf: a box, and what it has been told is inside.
import { TypedClient } from './typed.mjs';

export const TYPE = { viewport: 101, positions: 102, notification: 103, vehicles: 104, left: 105 };

/** Fields of a protobuf message: [number, value]; bytes as Buffer, fixed64 as double. */
export function fields(bytes) {
  const list = [];
  let at = 0;
  const varint = () => {
    let value = 0n, shift = 0n, byte;
    do {
      byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) list.push([tag >> 3, varint()]);
    else if ((tag & 7) === 1) list.push([tag >> 3, bytes.readDoubleLE((at += 8) - 8)]);
    else {
      const length = Number(varint());
      list.push([tag >> 3, bytes.subarray(at, (at += length))]);
    }
  }
  return list;
}

const zigzag = (value = 0n) => Number(value >> 1n) * (value & 1n ? -1 : 1);

/** {reset, timeMs, vehicles: [{id, lat, lon, flags, timeMs, mode, line}], left: [id]} */
export function readBatch(payload) {
  const batch = { reset: false, vehicles: [], left: [] };
  for (const [number, value] of fields(payload)) {
    if (number === 1) batch.reset = value === 1n;
    else if (number === 2) batch.timeMs = zigzag(value);
    else if (number === 4) batch.left.push(value.toString());
    else if (number === 3) {
      const v = Object.fromEntries(fields(value));
      batch.vehicles.push({ id: v[1].toString(), lat: zigzag(v[2]), lon: zigzag(v[3]), flags: Number(v[6] ?? 0n), timeMs: zigzag(v[7]),
        mode: Number(v[8] ?? 0n), line: v[9]?.toString() ?? '' });
    }
  }
  return batch;
}

const field = (number, bytes) => Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);

function point(longitude, latitude) {
  const bytes = Buffer.alloc(18);
  bytes[0] = 9;
  bytes.writeDoubleLE(longitude, 1);
  bytes[9] = 17;
  bytes.writeDoubleLE(latitude, 10);
  return bytes;
}

/** The message Viewport: box in degrees; more: modes, lines, operators, notify. */
export const writeViewport = ({ west, south, east, north }, { modes = [], lines = [], operators = [], notify = false } = {}) => Buffer.concat([
  field(1, point(west, south)), field(2, point(east, north)),
  ...[modes, lines, operators].flatMap((list, i) => list.map((text) => field(3 + i, Buffer.from(text)))),
  Buffer.from(notify ? [7 << 3, 1] : []),
]);

export class MapClient {
  vehicles = new Map();
  resets = 0;
  batches = 0;

  /** Of a started server; gives the client when it is open. */
  static async open(server) {
    const client = new MapClient();
    client.typed = server.track(new TypedClient(server.wsUrl, { path: '/ws?codec=protobuf', form: 'binary' }));
    client.typed.onMessage = (message) => message.type === TYPE.vehicles && client.take(readBatch(message.raw.subarray(4)));
    await client.typed.opened;
    return client;
  }

  look(box, more) {
    this.box = box;
    this.more = more ?? {};
    this.typed.send(TYPE.viewport, writeViewport(box, more));
  }

  take(batch) {
    this.batches++;
    if (batch.reset) {
      this.resets++;
      this.vehicles.clear();
    }
    for (const vehicle of batch.vehicles) this.vehicles.set(vehicle.id, vehicle);
    for (const id of batch.left)
      if (!this.vehicles.delete(id)) throw new Error(`${id} left without having been there`);
    this.onBatch?.(batch);
    return true;
  }

  /** Stops reading from the socket, and goes on. */
  pause() { this.typed.ws._socket.pause(); }
  resume() { this.typed.ws._socket.resume(); }
}
