// Sessions that negotiate permessage-deflate, on raw sockets: what is compressed is seen frame by frame.
import assert from 'node:assert/strict';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { startCrier } from './crier.mjs';
import { OPCODE } from './raw.mjs';

export const OFFER = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' };
export const TAKEN = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const FLUSH = { finishFlush: constants.Z_SYNC_FLUSH };
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
export const RSV1 = 4;

const namespaces = [
  { name: 'default', publish: true, history: 100, gather_ms: 0 },
  { name: 'delta', publish: true, history: 100, delta: true, gather_ms: 0 },
  { name: 'table', publish: true, keyed: true, history: 100, map_publish: true },
  { name: 'narrow', publish: true, history: 100, behind: 'skip' },
];
/** A server that compresses; `namespaces` are those of these tests. */
export const startCompressing = (t, { server = {}, ...more } = {}) =>
  startCrier({ t, config: { server: { compression: true, ...server }, namespace: namespaces, ...more } });

/** Text of that many bytes which shrinks well. */
export const text = (n, size = 600) => `${n} `.padEnd(size, 'lorem ipsum dolor sit amet ');
/** What was sent, without the four bytes that the sender leaves out (RFC 7692, 7.2.1). */
export function deflated(message) {
  const whole = deflateRawSync(message, FLUSH);
  assert.deepEqual(whole.subarray(-4), TAIL);
  return whole.subarray(0, -4);
}
const inflated = (payload) => inflateRawSync(Buffer.concat([payload, TAIL]), FLUSH);
export const counters = async (server) => {
  const m = await server.metrics();
  return ['compressions_total', 'compress_bytes_in_total', 'compress_bytes_out_total', 'inflate_bytes_in_total',
    'inflate_bytes_out_total'].map((name) => m.value(`crier_${name}`));
};

/** A raw session; `say` sends one JSON command, `hear` gives the next frame and its message. */
export async function rawClient(server, { path = '/connection/websocket', headers = OFFER, first } = {}) {
  const ws = await server.rawWebSocket(path, headers);
  ws.say = (command) => ws.sendText(JSON.stringify(command));
  ws.hear = async (ms) => {
    const f = await ws.readFrame(ms);
    const message = f.rsv & RSV1 ? inflated(f.payload) : f.payload;
    return { ...f, message: message.toString(), json: f.opcode === OPCODE.text ? JSON.parse(message) : undefined };
  };
  if (first) ws.say(first);
  return ws;
}

export async function rawSubscriber(server, channel, headers) {
  const ws = await rawClient(server, { headers, first: { id: 1, connect: {} } });
  await ws.hear();
  ws.say({ id: 2, subscribe: { channel } });
  ws.reply = await ws.hear();
  return ws;
}
