// permessage-deflate, what comes in: it counts as what it is inflated, and hostile bytes close the session they came from.
import assert from 'node:assert/strict';
import test from 'node:test';
import { slowness } from '../lib/crier.mjs';
import { OFFER, RSV1, counters, deflated, rawClient, rawSubscriber, startCompressing as start } from '../lib/deflate.mjs';
import { OPCODE } from '../lib/raw.mjs';
import { TYPE } from '../lib/typed.mjs';

const ping = (size = 100) => JSON.stringify({ type: TYPE.ping, payload: { pad: 'x'.repeat(size) } });

test('a compressed message is taken whole or in fragments, and counts as what it is inflated', async (t) => {
  const server = await start(t, { limits: { message_bytes: 5000 } });
  const ws = await rawClient(server, { path: '/ws' });
  const wire = deflated(ping(4000));
  ws.sendFrame({ rsv: RSV1, payload: wire });
  assert.equal((await ws.hear()).json.type, TYPE.ok);
  ws.sendFrame({ rsv: RSV1, fin: false, payload: wire.subarray(0, 5) });
  ws.sendFrame({ opcode: OPCODE.ping, payload: 'between' });
  ws.sendFrame({ opcode: OPCODE.continuation, fin: false, payload: '' });
  ws.sendFrame({ opcode: OPCODE.continuation, payload: wire.subarray(5) });
  assert.equal((await ws.readFrame()).opcode, OPCODE.pong);
  assert.equal((await ws.hear()).json.type, TYPE.ok);
  ws.sendText(ping()); // an uncompressed one is as good
  assert.equal((await ws.hear()).json.type, TYPE.ok);
  const edge = ping(5000 - ping(0).length);
  assert.equal(edge.length, 5000);
  ws.sendFrame({ rsv: RSV1, payload: deflated(edge) });
  assert.equal((await ws.hear()).json.type, TYPE.ok);
  const [, , , bytesIn, bytesOut] = await counters(server);
  assert.deepEqual([bytesIn, bytesOut], [2 * wire.length + deflated(edge).length, 2 * ping(4000).length + 5000]);
  ws.sendFrame({ rsv: RSV1, payload: deflated(`${edge} `) });
  await ws.expectClose(1009);
  assert.equal((await server.metrics()).value('crier_limit_message_bytes_total'), 1);
});

test('compressed messages count against the rate', async (t) => {
  const server = await start(t, { limits: { rate_messages: 1, rate_burst: 3, rate_strikes: 3 } });
  const ws = await rawClient(server, { path: '/ws' });
  for (let i = 0; i < 6; i++) ws.sendFrame({ rsv: RSV1, payload: deflated(ping()) });
  const types = [];
  for (let i = 0; i < 5; i++) types.push((await ws.hear()).json.type);
  assert.deepEqual(types, [TYPE.ok, TYPE.ok, TYPE.ok, TYPE.error, TYPE.error]);
  await ws.expectClose(1008);
});

const VIOLATIONS = {
  'RSV1 on a ping': [1002, { rsv: RSV1, opcode: OPCODE.ping, payload: 'x' }],
  'RSV1 on a close': [1002, { rsv: RSV1, opcode: OPCODE.close, payload: deflated('\u0003\u00e8') }],
  'RSV1 on a continuation': [1002, { rsv: RSV1, fin: false, payload: 'x' }, { rsv: RSV1, opcode: OPCODE.continuation, payload: 'x' }],
  'RSV1 on the continuation of a plain message': [1002, { fin: false, payload: 'x' }, { rsv: RSV1, opcode: OPCODE.continuation, payload: 'x' }],
  'RSV2 beside RSV1': [1002, { rsv: 6, payload: deflated(ping()) }],
  'RSV3 alone': [1002, { rsv: 1, payload: ping() }],
  'text that is not UTF-8': [1007, { rsv: RSV1, payload: deflated(Buffer.from('{"a":"\xff"}', 'latin1')) }],
  'text that ends within a character': [1007, { rsv: RSV1, payload: deflated(Buffer.from([0x22, 0xe2, 0x82])) }],
  'a block type that does not exist': [1007, { rsv: RSV1, payload: Buffer.from([0xff, 0xff, 0xff]) }],
  'a distance into a message before it': [1007, { rsv: RSV1, payload: Buffer.from([0x02, 0x13, 0x00]) }],
};

for (const [name, [code, ...frames]] of Object.entries(VIOLATIONS))
  test(`hostile: ${name} closes ${code}`, async (t) => {
    const server = await start(t);
    const other = await rawSubscriber(server, 'news');
    for (const path of ['/ws', '/connection/websocket']) {
      const ws = await rawClient(server, { path });
      frames.forEach((f) => ws.sendFrame(f));
      await ws.expectClose(code);
    }
    // What one session broke is no other's: the inflater is shared.
    other.sendFrame({ rsv: RSV1, payload: deflated(JSON.stringify({ id: 9, ping: {} })) });
    assert.equal((await other.hear()).json.id, 9);
  });

test('hostile: RSV1 where nothing was negotiated closes 1002', async (t) => {
  const server = await start(t);
  for (const path of ['/ws', '/connection/websocket', '/connection/uni_websocket']) {
    const ws = await rawClient(server, { path, headers: {} });
    ws.sendFrame({ rsv: RSV1, payload: deflated(ping()) });
    await ws.expectClose(1002);
  }
});

test('hostile: 64 KiB that inflate to 64 MiB close 1009 without the memory', async (t) => {
  const server = await start(t);
  const bomb = deflated(Buffer.alloc(64 << 20));
  assert.ok(bomb.length < 66000, `${bomb.length}`);
  const warm = await rawClient(server, { path: '/ws' });
  warm.sendFrame({ rsv: RSV1, payload: deflated(ping(30000)) });
  await warm.hear();
  const before = server.rss();
  let most = 0;
  for (let i = 0; i < 20; i++) {
    const ws = await rawClient(server, { path: i % 2 ? '/ws' : '/connection/websocket' });
    ws.sendFrame({ rsv: RSV1, payload: bomb });
    await ws.expectClose(1009, 20000);
    most = Math.max(most, server.rss() - before);
  }
  if (slowness === 1) assert.ok(most < 2 << 20, `grew by ${most} bytes`);
  assert.equal((await server.metrics()).value('crier_limit_message_bytes_total'), 20);
});

test('connections that take it cost no more than others', async (t) => {
  const server = await start(t, { limits: { connections_per_address: 5000, handshakes_per_second: 100000 } });
  const open = async (headers) => {
    const before = server.rss();
    for (let i = 0; i < 20; i++)
      await Promise.all(Array.from({ length: 50 }, async () => {
        const ws = await rawClient(server, { path: '/ws', headers });
        ws.sendFrame(headers === OFFER ? { rsv: RSV1, payload: deflated(ping(2000)) } : { payload: ping(2000) });
        await ws.hear();
      }));
    return (server.rss() - before) / 1000;
  };
  await open({});
  const plain = await open({});
  const takers = await open(OFFER);
  if (slowness === 1) assert.ok(takers < plain + 1000, `${takers} bytes each, others ${plain}`);
});
