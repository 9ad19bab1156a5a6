// The console page in a real browser: what it shows is what the server has, and a cut line recovers.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { API_KEY, root, startCrier, until } from '../lib/crier.mjs';
import { artifactDir, launch } from './chat_page.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const config = (more = {}) => ({
  server: { web: join(root, 'web') },
  bridge: [{ name: 'queue', driver: 'embedded', servers: 'data/crier.db' }],
  namespace: [
    { name: 'demo', history: 100, publish: true, presence: true, join_leave: true },
    { name: 'board', keyed: true, map_publish: true, map_remove: true },
    { name: 'chat', history: 100, type: 1, presence: true },
    { name: 'quiet', publish: false, anonymous: false },
  ],
  source: [{ bridge: 'queue', topic: 'demo', from: 'history', channel: 'demo:{key}' }],
  sink: [{ channel: 'demo:*', bridge: 'queue', topic: 'demo', key: '{channel.1}' }],
  module: [{ name: 'chatroom' }],
  ...more,
});

const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to/;

class Console {
  static async open(t, server, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1180, height: 900 }, locale: 'en-GB', ...options });
    const it = new Console();
    it.page = await context.newPage();
    it.problems = [];
    it.page.on('pageerror', (error) => it.problems.push(String(error)));
    it.page.on('console', (message) => ['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text()) && it.problems.push(message.text()));
    t.after(async () => {
      await context.close();
      assert.deepEqual(it.problems, []);
    });
    await it.page.goto(`${server.url}/console/`);
    await it.connected();
    return it;
  }

  connected() {
    return this.page.locator('#connection[data-state=open]').waitFor();
  }

  /** The card of a channel. */
  async subscribe(channel, { map = false, recent = 10 } = {}) {
    await this.page.fill('#channel', channel);
    await this.page.check(`input[value=${map ? 'map' : 'stream'}]`);
    await this.page.fill('#recent', String(recent));
    await this.page.press('#channel', 'Enter');
    return this.page.getByRole('region', { name: channel, exact: true });
  }

  /** The cells of a table, row by row. */
  static rows(card) {
    return card.locator('tbody tr').evaluateAll((all) => all.map((tr) => [...tr.cells].map((td) => td.textContent)));
  }

  static async shows(card, column, expected) {
    let seen;
    const read = async () => JSON.stringify((seen = (await Console.rows(card)).map((cells) => cells[column]))) === JSON.stringify(expected);
    await until(read, 'rows').catch(() => assert.deepEqual(seen, expected));
  }

  async screenshot(name) {
    mkdirSync(artifactDir, { recursive: true });
    await this.page.screenshot({ path: join(artifactDir, `${name}.png`), fullPage: true });
  }
}

const publish = (server, channel, data, more = {}) => server.api('publish', { channel, data, ...more });

test('publishing, history, presence and the newest of before', async (t) => {
  const server = await startCrier({ t, config: config() });
  for (let i = 1; i <= 4; i++) await publish(server, 'demo:lobby', { i });
  const one = await Console.open(t, server);
  const card = await one.subscribe('demo:lobby', { recent: 2 });
  await Console.shows(card, 0, ['4', '3']);
  const { epoch } = await server.api('history', { channel: 'demo:lobby' });
  await until(async () => (await card.locator('.position').textContent()) === `${epoch} 4`, 'the position is the log\'s');

  await card.getByLabel('Data (JSON)').fill('{"text": "<b>hi</b>"}');
  await card.getByRole('button', { name: 'Publish' }).click();
  await Console.shows(card, 2, ['{"text":"<b>hi</b>"}', '{"i":4}', '{"i":3}']);
  await card.getByLabel('Data (JSON)').fill('{broken');
  await card.getByRole('button', { name: 'Publish' }).click();
  await card.getByRole('alert').filter({ hasText: 'not JSON' }).waitFor();

  await card.getByRole('button', { name: 'History' }).click();
  await card.locator('pre').filter({ hasText: '"offset":5' }).waitFor();
  assert.match(await card.locator('h3').textContent(), new RegExp(`^History: 5 of the newest, the top is ${epoch} 5$`));
  const two = await Console.open(t, server);
  await two.subscribe('demo:lobby');
  await card.getByText(/^guest-\w+ joined$/).waitFor();
  await card.getByRole('button', { name: 'Presence' }).click();
  await card.locator('h3', { hasText: 'Presence: 2' }).waitFor();
  assert.equal(await card.locator('.people li', { hasText: '(you)' }).count(), 1);
  await one.screenshot('console-light');
});

test('a cut line: what was missed comes back, marked and counted', async (t) => {
  const server = await startCrier({ t, config: config() });
  const it = await Console.open(t, server);
  const card = await it.subscribe('demo:lobby');
  await card.getByText('subscribed', { exact: true }).waitFor();
  await publish(server, 'demo:lobby', 1);
  await Console.shows(card, 0, ['1']);
  await it.page.fill('#away', '2');
  await it.page.getByRole('button', { name: 'Cut the line' }).click();
  await it.page.locator('#connection[data-state=waiting]').waitFor();
  for (let i = 2; i <= 4; i++) await publish(server, 'demo:lobby', i);
  await Console.shows(card, 0, ['1']);
  await it.connected();
  await Console.shows(card, 0, ['4', '3', '2', '1']);
  assert.equal(await card.locator('.recovery').textContent(), 'Came back: recovered, 3 publications that were missed.');
  assert.equal(await card.locator('tr.missed').count(), 3);
  await it.screenshot('console-recovered');
});

test('SIGKILL of the server: recovered from the log; a log that is new is said', async (t) => {
  const server = await startCrier({ t, config: config() });
  const it = await Console.open(t, server);
  const [log, memory] = [await it.subscribe('demo:lobby'), await it.subscribe('chat:lobby')];
  await publish(server, 'demo:lobby', 'before');
  await publish(server, 'chat:lobby', { message: 'before' });
  await Console.shows(log, 2, ['"before"']);
  await Console.shows(memory, 2, ['{"message":"before"}']);
  await server.kill();
  await it.page.locator('#connection:not([data-state=open])').waitFor();
  await server.start();
  await publish(server, 'demo:lobby', 'after');
  await it.connected();
  await Console.shows(log, 2, ['"after"', '"before"']);
  await log.locator('.recovery', { hasText: 'recovered' }).waitFor();
  assert.equal(await log.locator('.recovery.lost').count(), 0);
  await memory.locator('.recovery.lost', { hasText: 'not recovered' }).waitFor();
  await Console.shows(memory, 2, []);
});

test('a map: set and removed by two pages, recovered after a cut', async (t) => {
  const server = await startCrier({ t, config: config() });
  const one = await Console.open(t, server);
  const two = await Console.open(t, server);
  const [left, right] = [await one.subscribe('board:all', { map: true }), await two.subscribe('board:all', { map: true })];
  const set = async (card, key, data) => {
    await card.getByLabel('Key', { exact: true }).fill(key);
    await card.getByLabel('Data (JSON)').fill(data);
    await card.getByRole('button', { name: 'Set' }).click();
  };
  await set(left, 'a', '1');
  await set(left, 'b', '2');
  await Console.shows(right, 0, ['a', 'b']);
  await set(right, 'a', '10');
  await Console.shows(left, 2, ['10', '2']);
  await one.page.fill('#away', '1');
  await one.page.getByRole('button', { name: 'Cut the line' }).click();
  await one.page.locator('#connection[data-state=waiting]').waitFor();
  await right.getByLabel('Key', { exact: true }).fill('b');
  await right.getByRole('button', { name: 'Remove' }).click();
  await set(right, 'c', '3');
  await Console.shows(right, 0, ['a', 'c']);
  await one.connected();
  await Console.shows(left, 0, ['a', 'c']);
  assert.match(await left.locator('.recovery').textContent(), /recovered, 2 changes/);
  assert.match(await left.locator('.position').textContent(), /2 keys$/);
});

test('a table of a thousand keys comes in pages and is counted', async (t) => {
  const server = await startCrier({ t, config: config() });
  const commands = Array.from({ length: 1000 }, (_, i) => ({ map_publish: { channel: 'board:all', key: `k${i}`, data: i } }));
  await server.request('POST', '/api/batch', { json: { commands }, headers: { 'X-API-Key': API_KEY } });
  const it = await Console.open(t, server);
  const card = await it.subscribe('board:all', { map: true });
  await card.locator('.position', { hasText: '1000 keys' }).waitFor();
  await until(async () => (await card.locator('tbody tr').count()) === 200, 'the first rows');
});

test('tokens: with one, without one, with a bad one', async (t) => {
  const server = await startCrier({ t, config: config() });
  const it = await Console.open(t, server);
  const card = await it.subscribe('quiet:x');
  await card.getByText('refused: 103').waitFor();
  await card.getByRole('button', { name: 'Unsubscribe' }).click();
  await it.page.fill('#token', server.token({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 3600 }));
  await it.page.getByRole('button', { name: 'Connect', exact: true }).click();
  await it.page.locator('#session', { hasText: 'the token lasts' }).waitFor();
  const again = await it.subscribe('quiet:x');
  await again.getByText('subscribed', { exact: true }).waitFor();
  await again.getByRole('button', { name: 'Publish' }).click();
  await again.getByRole('alert').filter({ hasText: '103' }).waitFor();
  await it.page.fill('#token', 'x.y.z');
  await it.page.getByRole('button', { name: 'Connect', exact: true }).click();
  await it.page.locator('#connection[data-state=closed]', { hasText: 'invalid token' }).waitFor();
  await it.page.fill('#token', server.token({ sub: 'ann', exp: 1000 }));
  await it.page.getByRole('button', { name: 'Connect', exact: true }).click();
  await it.page.locator('#connection[data-state=closed]', { hasText: 'expired' }).waitFor();
});

test('handlers are called by name', async (t) => {
  const server = await startCrier({ t, config: config() });
  const it = await Console.open(t, server);
  const card = await it.subscribe('chat:lobby');
  await it.page.getByRole('button', { name: 'Call' }).click();
  await it.page.locator('#answer', { hasText: '"offset": 1' }).waitFor();
  await until(async () => (await Console.rows(card))[0]?.[2].includes('"message":"hello"'), 'the message');
  await it.page.fill('#method', 'nothing');
  await it.page.getByRole('button', { name: 'Call' }).click();
  await it.page.getByRole('alert').filter({ hasText: '104' }).waitFor();
});

test('on a phone and in the dark nothing is cut off; all is reached by keyboard', async (t) => {
  const server = await startCrier({ t, config: config() });
  const it = await Console.open(t, server, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  const card = await it.subscribe('demo:a-channel-with-a-rather-long-name-that-does-not-break');
  for (const channel of ['demo:lobby', 'demo:a-channel-with-a-rather-long-name-that-does-not-break']) await publish(server, channel, { text: 'x'.repeat(400) });
  await until(async () => (await Console.rows(card)).length === 1, 'a row');
  const overflow = await it.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0);
  await it.screenshot('console-phone-dark');
  const unnamed = await it.page.evaluate(() => [...document.querySelectorAll('button, input, textarea')]
    .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.id || e.outerHTML));
  assert.deepEqual(unnamed, []);
  await it.page.focus('#token');
  const reached = [];
  for (let i = 0; i < 25; i++) {
    await it.page.keyboard.press('Tab');
    reached.push(await it.page.evaluate(() => document.activeElement.id || document.activeElement.textContent));
  }
  for (const name of ['away', 'channel', 'recent', 'method', 'params', 'Unsubscribe', 'Publish', 'History', 'Presence']) assert.ok(reached.includes(name), `${name} in ${reached.join(', ')}`);
});
