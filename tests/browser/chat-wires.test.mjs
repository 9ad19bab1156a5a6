// The chat over both wires: one browser on each, in the same room.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep, until } from '../lib/crier.mjs';
import { ChatPage, dropLog, launch, startChat } from './chat_page.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

/** The addresses of the WebSockets that the page opened are in `sockets`. */
async function open(t, server, options) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, locale: 'en-GB' });
  const sockets = [];
  context.on('page', (page) => page.on('websocket', (socket) => sockets.push(new URL(socket.url()).pathname)));
  const chat = Object.assign(await ChatPage.open(browser, server, { context, ...options }), { sockets });
  t.after(async () => {
    await context.close();
    assert.deepEqual(chat.problems, []);
  });
  return chat;
}

async function openBoth(t, server) {
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace', wire: 'channels' });
  return { ada, grace, both: [ada, grace] };
}

test('a room has the same people and messages on either wire', async (t) => {
  const server = await startChat(t);
  const { ada, grace, both } = await openBoth(t, server);
  assert.deepEqual(both.map((chat) => [...new Set(chat.sockets)]), [['/ws'], ['/connection/websocket']]);
  await ada.say('from the typed wire');
  await grace.shows(['from the typed wire']);
  await grace.say('from the channels wire');
  for (const chat of both) await chat.shows(['from the typed wire', 'from the channels wire']);
  for (const chat of both) await until(async () => (await chat.people()).join() === 'Ada,Grace', 'members');
  assert.equal(await ada.page.locator('.message:not(.own) .sender').textContent(), 'Grace');
  assert.equal(await grace.page.locator('.message:not(.own) .sender').textContent(), 'Ada');
  const offset = /offset (\d+)$/;
  const titles = await Promise.all(both.map((chat) => chat.page.locator('.own .mark.sent').getAttribute('title')));
  assert.deepEqual(titles.map((title) => Number(offset.exec(title)[1])), [1, 2]);
  await ada.context.close();
  await until(async () => (await grace.people()).join() === 'Grace', 'Ada has left');
});

test('through SIGKILL of the server, on either wire: nothing lost, nothing doubled, one order', async (t) => {
  const server = await startChat(t, { rate_per_10s: 1000 });
  const { ada, grace, both } = await openBoth(t, server);
  for (let round = 0; round < 3; round++) {
    for (const chat of both) await chat.say(`${await chat.page.locator('#name-button').textContent()} ${round}`);
    await until(async () => (await ada.messages()).length >= 4 * round + 2, 'live messages');
    await server.kill();
    for (const chat of both) await chat.disconnected();
    for (const chat of both) await chat.say(`${await chat.page.locator('#name-button').textContent()} offline ${round}`);
    await server.start();
    for (const chat of both) await chat.page.evaluate(() => document.getElementById('try-now').click());
    for (const chat of both) await chat.connected();
    for (const chat of both) await chat.settled();
    await until(async () => (await ada.messages()).length === 4 * (round + 1), 'all messages');
  }
  await sleep(300);
  const said = [0, 1, 2].flatMap((i) => [`Ada ${i}`, `Ada offline ${i}`, `Grace ${i}`, `Grace offline ${i}`]);
  const order = await ada.messages();
  assert.deepEqual([...order].sort(), said.sort());
  assert.deepEqual(await grace.messages(), order);
  for (const chat of both) assert.deepEqual(await chat.notes(), []);
  const late = await open(t, server, { name: 'Late', wire: 'channels' });
  await late.shows(order, 'the history of a new window');
});

test('channels wire: a lost acknowledgement does not double a message', async (t) => {
  const server = await startChat(t);
  const grace = await open(t, server, { name: 'Grace', wire: 'channels' });
  let cut = false;
  await grace.page.routeWebSocket(/\/connection\/websocket/, (socket) => {
    const upstream = socket.connectToServer();
    upstream.onMessage((data) => {
      if (cut || !/"rpc"|only once/.test(String(data))) return socket.send(data);
      cut = true; // the answer and the publication vanish with the connection
      upstream.close();
      socket.close({ code: 4000 });
    });
  });
  await grace.page.reload();
  await grace.connected();
  await grace.say('only once');
  await until(() => cut, 'the line is cut');
  await grace.connected();
  await grace.settled();
  await grace.shows(['only once']);
  await sleep(200);
  const stored = (await server.get('/channels/chat:lobby')).json.publications;
  assert.deepEqual(stored.map((p) => p.data.message), ['only once']);
});

test('channels wire: a log that begins anew is said openly', async (t) => {
  const server = await startChat(t);
  const grace = await open(t, server, { name: 'Grace', wire: 'channels' });
  await grace.say('old');
  await grace.shows(['old']);
  await server.kill();
  dropLog(server);
  await server.start();
  await grace.disconnected().catch(() => {});
  await grace.connected();
  await until(async () => (await grace.notes()).some((note) => note.includes('may be missing')), 'the note');
});
