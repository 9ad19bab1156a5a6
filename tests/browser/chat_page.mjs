// What the browser tests share: a server with the chatroom on the embedded log, Debian's chromium, and a page of the chat.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { root, startCrier, until } from '../lib/crier.mjs';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
// A refused connection while the server is away is part of the tests; the browser logs it anyway.
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection to/;
export const artifactDir = join(root, '.cache', 'test', 'browser');

export function chatConfig(module = {}) {
  return {
    server: { web: join(root, 'web') },
    bridge: [{ name: 'embedded', driver: 'embedded', servers: 'data/crier.db' }],
    namespace: [{ name: 'chat', history: 1000, behind: 'resync', type: 1, presence: true, join_leave: true }],
    source: [{ bridge: 'embedded', topic: 'chat', from: 'history', channel: 'chat:{key}' }],
    sink: [{ channel: 'chat:*', bridge: 'embedded', topic: 'chat', key: '{channel.1}' }],
    module: [{ name: 'chatroom', ...module }],
  };
}

export const startChat = (t, module) => startCrier({ t, config: chatConfig(module) });

/** Forgets everything that was said: the next start begins a new log. */
export function dropLog(server) {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(server.dir, `data/crier.db${suffix}`), { force: true });
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

export class ChatPage {
  /** Options: name, room, wire ('channels'), and those of a browser context. `problems` collects what the browser complains about. */
  static async open(browser, server, { name = 'Ada', room = '', wire = '', context, ...options } = {}) {
    const own = context ?? (await browser.newContext({ viewport: { width: 1180, height: 760 }, locale: 'en-GB', ...options }));
    const chat = new ChatPage(await own.newPage(), own);
    await chat.page.goto(`${server.url}/chat/${wire && `?wire=${wire}`}${room && `#${room}`}`);
    if (name !== null) await chat.giveName(name);
    await chat.connected();
    return chat;
  }

  constructor(page, context) {
    this.page = page;
    this.context = context;
    this.problems = [];
    page.on('pageerror', (error) => this.problems.push(String(error)));
    page.on('dialog', (dialog) => this.problems.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text())) this.problems.push(message.text());
    });
  }

  async giveName(name) {
    await this.page.locator('#name-dialog').waitFor();
    await this.page.fill('#name', name);
    await this.page.press('#name', 'Enter');
  }

  /** Connected, and what was said before is here. */
  async connected() {
    await this.page.locator('#connection[data-state=open]').waitFor({ state: 'attached' });
    await this.page.locator('#log[aria-busy=false]').waitFor({ state: 'attached' });
  }

  settled() {
    return until(async () => (await this.pending()).length === 0, 'nothing is on its way');
  }

  disconnected() {
    return this.page.locator('#connection:not([data-state=open])').waitFor({ state: 'attached' });
  }

  async say(text) {
    await this.page.fill('#text', text);
    await this.page.press('#text', 'Enter');
  }

  /** Texts of the messages that are in the log, in their order. */
  messages() {
    return this.page.locator('.messages:not(.pending) .body').allTextContents();
  }

  pending() {
    return this.page.locator('.messages.pending .body').allTextContents();
  }

  notes() {
    return this.page.locator('.note').allTextContents();
  }

  people() {
    return this.page.locator('#people .person').allTextContents();
  }

  /** Waits until the log ends with exactly these messages (all of them, from the first). */
  async shows(expected, what = 'messages') {
    let seen;
    try {
      await until(async () => JSON.stringify((seen = await this.messages())) === JSON.stringify(expected), what);
    } catch {
      throw new Error(`${what}: expected ${JSON.stringify(expected)}, the page shows ${JSON.stringify(seen)}`);
    }
  }

  async screenshot(name) {
    mkdirSync(artifactDir, { recursive: true });
    await this.page.screenshot({ path: join(artifactDir, `${name}.png`) });
  }
}
