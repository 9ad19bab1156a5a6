// The chat page in a real browser, against the real server with its embedded log.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep, until } from '../lib/crier.mjs';
import { ChatPage, dropLog, launch, startChat } from './chat_page.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

/** A page of its own browser profile; the test fails when the browser had something to complain about. */
async function open(t, server, options) {
  const chat = await ChatPage.open(browser, server, options);
  t.after(async () => {
    await chat.context.close();
    assert.deepEqual(chat.problems, []);
  });
  return chat;
}

test('two people talk in a room and see who is there', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  await ada.say('Good morning');
  await grace.shows(['Good morning']);
  await grace.say('Hello Ada');
  await ada.shows(['Good morning', 'Hello Ada']);
  assert.equal(await ada.page.locator('.message:not(.own) .sender').textContent(), 'Grace');
  assert.match(await ada.page.locator('.own .mark.sent').getAttribute('title'), /^Stored in the log at offset \d+$/);
  assert.equal(await ada.page.locator('.day').count(), 1);
  await until(async () => (await ada.people()).join() === 'Ada,Grace', 'members');
  await ada.screenshot('two-people-light');

  await grace.context.close();
  await until(async () => (await ada.people()).join() === 'Ada', 'Grace has left');
});

test('a guest without a name gets one from the server', async (t) => {
  const server = await startChat(t);
  const guest = await open(t, server, { name: '' });
  const ada = await open(t, server);
  await guest.say('who am I?');
  await ada.shows(['who am I?']);
  const name = await ada.page.locator('.sender').textContent();
  assert.match(name, /^guest-[0-9a-f]{4}$/);
  await until(async () => (await ada.people()).includes(name), 'the guest is listed under that name');
});

test('a new name is shown to the others', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  await ada.page.click('#name-button');
  await ada.giveName('Countess');
  await until(async () => (await grace.people()).join() === 'Countess,Grace', 'members');
  await ada.connected();
  await ada.say('renamed');
  await grace.shows(['renamed']);
  assert.equal(await grace.page.locator('.sender').textContent(), 'Countess');
});

test('two windows of one browser are two people', async (t) => {
  const server = await startChat(t);
  const first = await open(t, server, { name: 'Ada' });
  const second = await open(t, server, { name: null, context: first.context });
  assert.equal(await second.page.locator('#name-button').textContent(), 'Ada', 'the last name is offered');
  await second.page.click('#name-button');
  await second.giveName('Grace');
  await until(async () => (await first.people()).join() === 'Ada,Grace', 'members');
  await second.connected();
  await first.say('from Ada');
  await second.shows(['from Ada']);
  await second.say('from Grace');
  await first.shows(['from Ada', 'from Grace']);
  await first.page.reload();
  await first.shows(['from Ada', 'from Grace']);
  assert.equal(await first.page.locator('#name-button').textContent(), 'Ada');
  for (const window of [first, second]) assert.equal(await window.page.locator('.message.own').count(), 1);
});

test('a duplicated tab gets an identity of its own', async (t) => {
  const server = await startChat(t);
  const first = await open(t, server, { name: 'Ada' });
  const copy = await first.page.evaluate(() => JSON.stringify(sessionStorage));
  await first.context.addInitScript((stored) => {
    if (!sessionStorage.length) Object.entries(JSON.parse(stored)).forEach(([key, value]) => sessionStorage.setItem(key, value));
  }, copy);
  const second = await open(t, server, { name: null, context: first.context });
  const idOf = (chat) => chat.page.evaluate(() => sessionStorage.getItem('crier-chat.tab'));
  assert.notEqual(await idOf(first), await idOf(second));
  const before = await idOf(first);
  await first.page.reload();
  await first.connected();
  assert.equal(await idOf(first), before, 'a reload keeps it');
});

test('the last messages are there on joining', async (t) => {
  const server = await startChat(t, { rate_per_10s: 1000 });
  const ada = await open(t, server);
  const said = Array.from({ length: 55 }, (_, i) => `message ${i}`);
  for (const text of said) await ada.say(text);
  await ada.shows(said);
  const late = await open(t, server, { name: 'Late' });
  await late.shows(said.slice(-50), 'the last 50');
  assert.equal(await late.page.locator('#rooms .badge').isVisible(), false, 'history is not unread');
});

test('rooms are separate and count what was not read', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  await ada.page.fill('#join-name', 'no such room!');
  await ada.page.press('#join-name', 'Enter');
  assert.match(await ada.page.locator('#join-problem').textContent(), /letters, digits/);
  await ada.page.fill('#join-name', 'team-7');
  await ada.page.press('#join-name', 'Enter');
  await until(() => ada.page.url().endsWith('#team-7'), 'the room is in the address');
  await ada.say('only in team-7');
  await ada.shows(['only in team-7']);
  await grace.say('one');
  await grace.say('two');
  await until(async () => (await ada.page.locator('#rooms .badge:visible').allTextContents()).join() === '2', 'two unread');
  assert.match(await ada.page.title(), /^\(2\) team-7/);
  await ada.screenshot('unread');
  await ada.page.click('#rooms a[href="#lobby"]');
  await ada.shows(['one', 'two']);
  assert.equal(await ada.page.locator('#rooms .badge:visible').count(), 0);
  assert.deepEqual(await grace.messages(), ['one', 'two']);
  await ada.page.reload();
  await ada.connected();
  assert.deepEqual((await ada.page.locator('#rooms .room-name').allTextContents()), ['# lobby', '# team-7']);
});

test('hostile text is shown as text', async (t) => {
  const server = await startChat(t, { rate_per_10s: 1000 });
  const mallory = await open(t, server, { name: '<img src=x onerror=alert(1)>' });
  const ada = await open(t, server);
  const said = ['<img src=x onerror=alert(1)>', '<script>alert(2)</script>', '"><svg/onload=alert(3)>', 'javascript:alert(4)',
    'see https://example.org/a_(b)?c=d&e=f. And http://[broken', 'https://example.org/"onmouseover="alert(5)',
    '\u202Eright to left', '{{7*7}} ${7*7}', `${'x'.repeat(600)}`];
  for (const text of said) await mallory.say(text);
  await ada.shows(said);
  assert.deepEqual(await ada.people(), ['<img src=x onerror=alert(1)>', 'Ada']);
  assert.equal(await ada.page.locator('.log img, .log script, .log svg, #people img').count(), 0);
  const links = await ada.page.locator('.body a').evaluateAll((all) => all.map((a) => [a.href, a.rel, a.target, a.getAttributeNames().length]));
  assert.deepEqual(links, [
    ['https://example.org/a_(b)?c=d&e=f', 'noopener noreferrer nofollow', '_blank', 3],
    ['https://example.org/', 'noopener noreferrer nofollow', '_blank', 3],
  ]);
  const overflow = await ada.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0);
  await ada.screenshot('hostile');
});

test('after SIGKILL nothing is lost or doubled in either page', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  await ada.say('before 1');
  await grace.say('before 2');
  await ada.shows(['before 1', 'before 2']);
  await server.kill();
  await ada.disconnected();
  await grace.disconnected();
  assert.match(await ada.page.locator('#connection-text').textContent(), /Connection lost/);
  await ada.page.locator('#try-now').waitFor();
  await ada.say('offline 1');
  await ada.say('offline 2');
  assert.deepEqual(await ada.pending(), ['offline 1', 'offline 2']);
  await ada.screenshot('offline');
  await server.start();
  await ada.connected();
  await grace.connected();
  await grace.say('after');
  await until(async () => (await ada.messages()).length === 5 && (await grace.messages()).length === 5, 'five messages');
  await sleep(300);
  const order = await ada.messages();
  assert.deepEqual(order.filter((text) => text !== 'after'), ['before 1', 'before 2', 'offline 1', 'offline 2']);
  assert.deepEqual(await grace.messages(), order);
  await ada.settled();
  assert.deepEqual([...(await ada.notes()), ...(await grace.notes())], []);
  await until(async () => (await ada.people()).join() === 'Ada,Grace', 'members');
});

test('a stream of messages survives kills of the server', async (t) => {
  const server = await startChat(t, { rate_per_10s: 10000 });
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  const said = [];
  for (let kill = 0; kill < 3; kill++) {
    for (let i = 0; i < 12; i++) {
      said.push(`${kill}/${i}`);
      await ada.say(said.at(-1));
      if (i === 7) await server.kill(); // with messages on their way
    }
    await server.start();
    await ada.page.evaluate(() => document.getElementById('try-now').click());
  }
  await ada.shows(said, 'all of them once, in order');
  await grace.shows(said, 'the same on the other page');
  await ada.settled();
});

test('messages typed offline outlive the page', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  await ada.say('stored');
  await ada.shows(['stored']);
  await server.kill();
  await ada.disconnected();
  await ada.say('left behind');
  await until(async () => (await ada.pending()).length === 1, 'pending');
  await ada.page.close();
  await server.start();
  // Another tab leaves what a living one wrote alone, and takes over what a tab without a sign of life left.
  const again = await ada.context.newPage();
  await again.addInitScript(() => {
    const key = Object.keys(localStorage).find((k) => k.startsWith('crier-chat.outbox.'));
    if (key) localStorage.setItem(key, JSON.stringify({ ...JSON.parse(localStorage.getItem(key)), aliveMs: 0 }));
  });
  const chat = new ChatPage(again, ada.context);
  await again.goto(`${server.url}/chat/`);
  await chat.connected();
  await chat.shows(['stored', 'left behind']);
  await chat.settled();
  assert.deepEqual(chat.problems, []);
});

/** Puts a line between page and server that can swallow what the server says, and be cut. */
async function tapLine(chat) {
  const line = { deaf: false, cut: () => line.socket.close({ code: 4000, reason: 'line cut' }) };
  await chat.page.routeWebSocket(/\/ws/, (socket) => {
    line.socket = socket;
    socket.connectToServer().onMessage((message) => line.deaf || socket.send(message));
  });
  await chat.page.reload();
  await chat.connected();
  return line;
}

test('a lost acknowledgement does not double a message', async (t) => {
  const server = await startChat(t);
  const grace = await open(t, server, { name: 'Grace' });
  const ada = await open(t, server, { name: 'Ada' });
  const line = await tapLine(ada);
  line.deaf = true;
  await ada.say('once only');
  await grace.shows(['once only']);
  assert.deepEqual(await ada.pending(), ['once only']);
  line.deaf = false;
  await line.cut();
  await ada.shows(['once only']);
  await ada.say('and on');
  await grace.shows(['once only', 'and on']);
  await ada.settled();
});

test('a reload before the acknowledgement does not double a message', async (t) => {
  const server = await startChat(t);
  const grace = await open(t, server, { name: 'Grace' });
  const ada = await open(t, server, { name: 'Ada' });
  const line = await tapLine(ada);
  line.deaf = true;
  await ada.say('acknowledged to nobody');
  await grace.shows(['acknowledged to nobody']);
  assert.deepEqual(await ada.pending(), ['acknowledged to nobody']);
  line.deaf = false;
  await ada.page.reload();
  await ada.shows(['acknowledged to nobody']);
  await ada.say('and on');
  await grace.shows(['acknowledged to nobody', 'and on'], 'not doubled');
  await ada.settled();
});

test('a log that begins anew is said openly', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: 'Ada' });
  await ada.say('will be gone');
  await ada.shows(['will be gone']);
  await server.kill();
  dropLog(server);
  await server.start();
  await ada.connected();
  await ada.shows([]);
  await until(async () => (await ada.notes()).some((note) => /Some messages may be missing/.test(note)), 'the note');
  await ada.say('a new beginning');
  await ada.shows(['a new beginning']);
});

test('too many messages: the page says so and sends them all in the end', async (t) => {
  const server = await startChat(t, { rate_per_10s: 5 });
  const ada = await open(t, server, { name: 'Ada', colorScheme: 'dark' });
  const said = Array.from({ length: 7 }, (_, i) => `fast ${i}`);
  for (const text of said) await ada.say(text);
  await until(async () => /too many messages: 5 are allowed in 10 seconds/.test(await ada.page.locator('#problem').textContent()), 'the problem is shown');
  assert.equal(await ada.page.locator('#problem').getAttribute('role'), 'alert');
  await ada.screenshot('rate-limit-dark');
  await until(async () => (await ada.messages()).length === 7, 'all are sent', 20000);
  assert.deepEqual(await ada.messages(), said);
  assert.equal(await ada.page.locator('#problem').textContent(), '');
});

test('a message that is too long is refused, can be edited and sent', async (t) => {
  const server = await startChat(t, { message_chars: 20 });
  const ada = await open(t, server, { name: 'Ada' });
  await ada.say('this has more than twenty characters');
  await until(async () => /36 characters, allowed are 20/.test(await ada.page.locator('#problem').textContent()), 'the problem is shown');
  await ada.say('short');
  await ada.shows(['short'], 'a refused message does not hold up others');
  await ada.screenshot('too-long');
  await ada.page.click('.failed >> text=Edit');
  assert.equal(await ada.page.inputValue('#text'), 'this has more than twenty characters');
  await ada.settled();
  await ada.say('this fits');
  await ada.shows(['short', 'this fits']);
  await ada.say('again more than twenty characters');
  await ada.page.click('.failed >> text=Discard');
  await ada.settled();
  assert.equal(await ada.page.locator('#problem').textContent(), '');
});

test('light and dark follow the system until somebody chooses', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { colorScheme: 'dark' });
  const brightness = () => ada.page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
  assert.ok((await brightness()) < 150, 'dark by the system');
  await ada.page.emulateMedia({ colorScheme: 'light' });
  assert.ok((await brightness()) > 600, 'light by the system');
  await ada.page.click('#theme');
  await ada.page.click('#theme');
  assert.equal(await ada.page.locator('#theme').getAttribute('aria-label'), 'Colours: dark. Change');
  assert.ok((await brightness()) < 150, 'dark by choice');
  await ada.page.reload();
  assert.ok((await brightness()) < 150, 'still dark after a reload');
});

test('a phone has everything within its width', async (t) => {
  const server = await startChat(t);
  const grace = await open(t, server, { name: 'Grace' });
  const phone = await open(t, server, { name: 'Phone', viewport: { width: 360, height: 720 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  await grace.say(`A long word: ${'Donaudampfschifffahrt'.repeat(12)} and https://example.org/${'path/'.repeat(40)}`);
  await phone.say('from the tram');
  await until(async () => (await phone.messages()).length === 2, 'both messages');
  const overflow = await phone.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
  await phone.screenshot('phone');
  assert.equal(await phone.page.locator('#rooms-panel').isVisible(), false);
  await phone.page.tap('#show-rooms');
  await phone.page.locator('#rooms-panel').waitFor({ state: 'visible' });
  await sleep(200);
  await phone.screenshot('phone-rooms');
  await phone.page.fill('#join-name', 'tram');
  await phone.page.press('#join-name', 'Enter');
  await phone.page.locator('#rooms-panel').waitFor({ state: 'hidden' });
  assert.equal(await phone.page.locator('#room-title').textContent(), '# tram');
  await phone.page.tap('#show-people');
  await phone.page.locator('#people-panel').waitFor({ state: 'visible' });
  await until(async () => (await phone.people()).join() === 'Phone', 'members of the room');
  await sleep(200);
  await phone.screenshot('phone-people');
  await phone.page.keyboard.press('Escape');
  await phone.page.locator('#people-panel').waitFor({ state: 'hidden' });
});

test('everything works with the keyboard alone', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server, { name: null });
  const keys = ada.page.keyboard;
  const focused = () => ada.page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  await until(async () => (await focused()) === 'name', 'the name field has the focus');
  await keys.type('Ada');
  await keys.press('Enter');
  await until(async () => (await focused()) === 'text', 'then the message field');
  await ada.connected();
  await keys.type('first line');
  await keys.press('Shift+Enter');
  await keys.type('second line');
  await keys.press('Enter');
  await ada.shows(['first line\nsecond line']);

  await ada.page.locator('.skip').focus(); // the start of the page
  const stops = [];
  for (let i = 0; i < 12 && stops.at(-1) !== 'text'; i++) {
    await keys.press('Tab');
    stops.push(await focused());
    const outline = await ada.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, 'none', `the focus is visible on ${stops.at(-1)}`);
  }
  assert.deepEqual(stops, ['crier chat', 'name-button', 'theme', '# lobby', '×', 'join-name', 'Join', 'log', 'text']);
  await ada.page.focus('#join-name');
  await keys.type('quiet');
  await keys.press('Enter');
  await until(async () => (await ada.page.locator('#room-title').textContent()) === '# quiet', 'joined');
  await until(async () => (await focused()) === 'text', 'and can type at once');
  await ada.page.locator('#rooms li:nth-child(2) .leave').focus();
  await keys.press('Enter');
  await until(async () => (await ada.page.locator('#room-title').textContent()) === '# lobby', 'left');
});

test('a screen reader is told what is new, not what was there before', async (t) => {
  const server = await startChat(t);
  const ada = await open(t, server);
  await ada.say('old');
  await ada.shows(['old']);
  const log = ada.page.locator('#log');
  assert.equal(await log.getAttribute('role'), 'log');
  assert.equal(await log.getAttribute('aria-live'), 'polite');
  await until(async () => (await log.getAttribute('aria-busy')) === 'false', 'not busy when history is here');
  assert.equal(await ada.page.locator('#connection-text').getAttribute('role'), 'status');
  const unnamed = await ada.page.evaluate(() => [...document.querySelectorAll('button, input, textarea, a[href]')]
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.querySelector('img[alt]:not([alt=""])')))
    .map((e) => e.outerHTML));
  assert.deepEqual(unnamed, []);
});

test('what is being read stays in place, and new messages are announced', async (t) => {
  const server = await startChat(t, { rate_per_10s: 1000 });
  const ada = await open(t, server, { name: 'Ada' });
  const grace = await open(t, server, { name: 'Grace' });
  for (let i = 0; i < 40; i++) await grace.say(`line ${i}`);
  await until(async () => (await ada.messages()).length === 40, 'forty messages');
  const log = ada.page.locator('#log');
  const bottomGap = () => log.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);
  assert.ok((await bottomGap()) < 2, 'follows at the bottom');
  await log.evaluate((e) => { e.scrollTop = 100; });
  await sleep(100);
  await grace.say('news');
  await ada.page.locator('#jump:visible').waitFor();
  assert.equal(await ada.page.locator('#jump').textContent(), '1 new message ↓');
  assert.equal(await log.evaluate((e) => e.scrollTop), 100);
  await ada.screenshot('new-messages');
  await ada.page.click('#jump');
  assert.ok((await bottomGap()) < 2);
  assert.equal(await ada.page.locator('#jump').isVisible(), false);
});

test('the start page shows whether the server is ready', async (t) => {
  const server = await startChat(t);
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 } });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${server.url}/`);
  await page.locator('#ready.ready').waitFor();
  assert.equal(await page.locator('#ready').textContent(), 'Ready');
  for (const link of await page.locator('main a').all()) {
    const target = await link.getAttribute('href');
    assert.equal((await server.get(target)).status, 200, target);
  }
  const chat = new ChatPage(page, context);
  await chat.screenshot('start');
  await server.kill();
  await page.locator('#ready.away').waitFor();
  assert.equal(await page.locator('#ready').textContent(), 'The server does not answer');
});
