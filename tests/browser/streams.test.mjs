// The fallback transports of the channels wire in a real browser: its own EventSource and fetch, the library as a page loads it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from './chat_page.mjs';
import { root, startCrier } from '../lib/crier.mjs';
import { TRANSPORTS } from '../lib/streams.mjs';

const DIST = join(root, 'tests', 'node_modules', 'centrifuge', 'dist');
const TEXT = 'ä € 😀 "quoted"';
let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const start = (t, auth = {}) => startCrier({ t, config: {
  auth: { anonymous: true, ...auth },
  debug: { insecure: true },
  limits: { rate_messages: 0 },
  namespace: [{ name: 'default', publish: true, history: 1000 }],
} });

/** A page of the server's own origin, or of another one, with the library in it. */
async function openPage(t, url, protobuf) {
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  await page.goto(url);
  await page.addScriptTag({ path: join(DIST, protobuf ? 'centrifuge.protobuf.js' : 'centrifuge.js') });
  return page;
}

/* Runs in the page: subscribes, publishes 200 messages, gives what came back and how long the first one took. */
async function converse({ base, transport, protobuf, text }) {
  const client = new globalThis.Centrifuge([{ transport, endpoint: `${base}/connection/${transport}` }], { emulationEndpoint: `${base}/emulation` });
  const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const decode = (value) => (protobuf ? JSON.parse(new TextDecoder().decode(value)) : value);
  const events = [];
  client.on('connecting', (ctx) => events.push(`connecting ${ctx.code}`));
  client.on('error', (ctx) => events.push(`error ${ctx.error?.message}`));
  const sub = client.newSubscription('page');
  const got = [];
  const all = new Promise((done) => sub.on('publication', (ctx) => {
    got.push(decode(ctx.data));
    if (got.length === 200) done();
  }));
  sub.subscribe();
  client.connect();
  await sub.ready(8000);
  const begin = performance.now();
  await sub.publish(encode({ i: 0, text }));
  const first = performance.now() - begin;
  for (let i = 1; i < 200; i++) await sub.publish(encode({ i, text }));
  await all;
  client.disconnect();
  return { got, first, events };
}

for (const { name, transport, protobuf } of TRANSPORTS) {
  test(`${name} in a page`, async (t) => {
    const server = await start(t);
    const page = await openPage(t, `${server.url}/healthz`, protobuf);
    const { got, first, events } = await page.evaluate(converse, { base: server.url, transport, protobuf, text: TEXT });
    assert.deepEqual(got, Array.from({ length: 200 }, (_, i) => ({ i, text: TEXT })));
    assert.deepEqual(events, ['connecting 0']);
    assert.ok(first < 5000, `a message took ${first} ms: something buffers`);
  });

  test(`${name} in a page of another origin that is listed`, async (t) => {
    const pages = await start(t);
    const server = await start(t, { allowed_origins: [pages.url] });
    const page = await openPage(t, `${pages.url}/healthz`, protobuf);
    const { got } = await page.evaluate(converse, { base: server.url, transport, protobuf, text: TEXT });
    assert.equal(got.length, 200);
  });
}
