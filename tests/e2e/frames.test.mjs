// Violations of RFC 6455 on raw bytes, and what the server must answer to each.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startCrier } from '../lib/crier.mjs';
import { OPCODE, closePayload, frame } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

const config = { debug: { echo: true } };

/** Each entry: frames sent on a connection of its own, and the close code they have to get. */
async function expectCloses(t, cases) {
  const server = await startCrier({ t, config });
  for (const [what, [code, ...frames]] of Object.entries(cases)) {
    const ws = await server.rawWebSocket('/ws');
    for (const f of frames) ws.send(Buffer.isBuffer(f) ? f : frame(f));
    await ws.expectClose(code).catch((error) => {
      throw new Error(`${what}: ${error.message}`);
    });
  }
  assert.equal((await server.get('/healthz')).status, 200);
}

test('unmasked frames close with 1002', (t) => expectCloses(t, {
  text: [1002, { mask: false, payload: '{}' }],
  ping: [1002, { mask: false, opcode: OPCODE.ping }],
  close: [1002, { mask: false, opcode: OPCODE.close, payload: closePayload(1000) }],
}));

test('reserved bits and opcodes close with 1002', (t) => expectCloses(t, {
  'RSV1 without deflate': [1002, { rsv: 4, payload: 'x' }],
  RSV2: [1002, { rsv: 2, payload: 'x' }],
  RSV3: [1002, { rsv: 1, payload: 'x' }],
  'RSV1 on a ping': [1002, { rsv: 4, opcode: OPCODE.ping }],
  'opcode 3': [1002, { opcode: 3 }],
  'opcode 7': [1002, { opcode: 7 }],
  'opcode 11': [1002, { opcode: 11 }],
  'opcode 15': [1002, { opcode: 15 }],
}));

test('control frames that are fragmented or too long close with 1002', (t) => expectCloses(t, {
  'fragmented ping': [1002, { opcode: OPCODE.ping, fin: false, payload: 'a' }],
  'fragmented close': [1002, { opcode: OPCODE.close, fin: false, payload: closePayload(1000) }],
  'ping of 126 bytes': [1002, { opcode: OPCODE.ping, payload: 'x'.repeat(126) }],
  'close of 126 bytes': [1002, { opcode: OPCODE.close, payload: closePayload(1000, 'x'.repeat(124)) }],
}));

test('fragments out of order close with 1002', (t) => expectCloses(t, {
  'continuation without start': [1002, { opcode: OPCODE.continuation, payload: 'x' }],
  'last continuation without start': [1002, { opcode: OPCODE.continuation, fin: false, payload: 'x' }],
  'text inside a fragmented text': [1002, { fin: false, payload: 'a' }, { payload: 'b' }],
  'binary inside a fragmented text': [1002, { fin: false, payload: 'a' }, { opcode: OPCODE.binary, payload: 'b' }],
  'continuation after the end': [1002, { fin: false, payload: '{' }, { opcode: 0, payload: '}' }, { opcode: 0, payload: 'x' }],
}));

test('text that is not UTF-8 closes with 1007', (t) => expectCloses(t, {
  'a lone byte': [1007, { payload: Buffer.from([0xff]) }],
  overlong: [1007, { payload: Buffer.from([0xc0, 0xaf]) }],
  surrogate: [1007, { payload: Buffer.from([0xed, 0xa0, 0x80]) }],
  'above U+10FFFF': [1007, { payload: Buffer.from([0xf4, 0x90, 0x80, 0x80]) }],
  'cut at the end': [1007, { payload: Buffer.from([0x61, 0xe2, 0x82]) }],
  'split over two frames': [1007, { fin: false, payload: Buffer.from([0xe2, 0x82]) }, { opcode: 0, payload: Buffer.from([0x41]) }],
  'decided before the message ends': [1007, { fin: false, payload: Buffer.from([0x61, 0xff]) }],
}));

test('a character split over two frames is fine', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws/echo');
  ws.sendFrame({ fin: false, payload: Buffer.from([0xe2, 0x82]) });
  ws.sendFrame({ opcode: OPCODE.ping, payload: 'between' });
  ws.sendFrame({ opcode: OPCODE.continuation, payload: Buffer.from([0xac]) });
  assert.equal((await ws.readFrame()).payload.toString(), 'between');
  const echoed = await ws.readFrame();
  assert.deepEqual([echoed.opcode, echoed.payload.toString()], [OPCODE.text, '€']);
});

test('close frames: bad ones get 1002 or 1007, good ones their own code back', (t) => expectCloses(t, {
  'a body of one byte': [1002, { opcode: OPCODE.close, payload: Buffer.from([3]) }],
  ...Object.fromEntries([0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) =>
    [`code ${code}`, [1002, { opcode: OPCODE.close, payload: closePayload(code) }]])),
  'a reason that is not UTF-8': [1007, { opcode: OPCODE.close, payload: Buffer.concat([closePayload(1000), Buffer.from([0xff])]) }],
  ...Object.fromEntries([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map((code) =>
    [`code ${code}`, [code, { opcode: OPCODE.close, payload: closePayload(code, 'bye') }]])),
  'no body': [1005, { opcode: OPCODE.close }],
}));

test('after a close frame nothing else is answered', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws/echo');
  ws.send(Buffer.concat([frame({ opcode: OPCODE.close, payload: closePayload(1000) }), frame({ payload: 'late' }),
    frame({ opcode: OPCODE.ping, payload: 'late' })]));
  assert.equal((await ws.readFrame()).opcode, OPCODE.close);
  await ws.closed();
  assert.equal(ws.received.length, 0);
});

test('lengths: the top bit and non-minimal forms are refused without an allocation', async (t) => {
  await expectCloses(t, {
    'top bit set': [1002, { length: 0x8000000000000000n, lengthForm: 64 }],
    'short length in 16 bits': [1002, { payload: 'x', lengthForm: 16 }],
    'short length in 64 bits': [1002, { payload: 'x', lengthForm: 64 }],
    '2^62 bytes': [1009, { length: 0x4000000000000000n, lengthForm: 64 }],
  });
});

test('a ping of 125 bytes is answered in the middle of a large reply', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws/echo');
  const large = Buffer.alloc(4 << 20, 'x');
  const ping = Buffer.alloc(125, 'p');
  ws.sendFrame({ opcode: OPCODE.binary, payload: large });
  ws.sendFrame({ opcode: OPCODE.ping, payload: ping });
  const frames = [await ws.readFrame(20000), await ws.readFrame(20000)];
  const pong = frames.find((f) => f.opcode === OPCODE.pong);
  const echoed = frames.find((f) => f.opcode === OPCODE.binary);
  assert.ok(pong.payload.equals(ping));
  assert.ok(echoed.payload.equals(large));
  assert.ok(!pong.masked && !echoed.masked, 'server frames are not masked');
});

test('ten queued pings get ten pongs', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws');
  ws.send(Buffer.concat(Array.from({ length: 10 }, (_, i) => frame({ opcode: OPCODE.ping, payload: `ping ${i}` }))));
  for (let i = 0; i < 10; i++) assert.equal((await ws.readFrame()).payload.toString(), `ping ${i}`);
});

test('pongs that nobody asked for are ignored', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws/echo');
  ws.sendFrame({ opcode: OPCODE.pong, payload: 'unsolicited' });
  ws.sendText('still here');
  assert.equal((await ws.readFrame()).payload.toString(), 'still here');
});

test('frames arrive byte by byte', async (t) => {
  const server = await startCrier({ t, config });
  const ws = await server.rawWebSocket('/ws/echo');
  for (const byte of Buffer.concat([frame({ fin: false, payload: 'héllo ' }), frame({ opcode: 0, payload: 'wörld' })])) {
    ws.send(Buffer.from([byte]));
    await new Promise((done) => setTimeout(done, 1));
  }
  assert.equal((await ws.readFrame()).payload.toString(), 'héllo wörld');
});

test('many messages in one packet are all handled, in order', async (t) => {
  const server = await startCrier({ t, config: { limits: { rate_messages: 0 } } });
  const ws = await server.rawWebSocket('/ws');
  ws.send(Buffer.concat(Array.from({ length: 500 }, (_, i) => frame({ payload: JSON.stringify({ type: TYPE.ping, id: i, payload: {} }) }))));
  for (let i = 0; i < 500; i++) assert.equal(JSON.parse((await ws.readFrame()).payload).id, i);
});
