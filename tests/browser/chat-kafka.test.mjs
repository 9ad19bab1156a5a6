// The same chat through a real Kafka, in a real browser: SIGKILL of crier, then of Kafka, under two people talking.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCrier, startedOrSkipped, until } from '../lib/crier.mjs';
import { startKafka } from '../lib/kafka.mjs';
import { ChatPage, chatConfig, launch } from './chat_page.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

test('the chat survives SIGKILL of crier and of Kafka: nothing lost, nothing doubled', async (t) => {
  const kafka = await startedOrSkipped(t, startKafka, 'Kafka');
  if (!kafka) return;
  await kafka.createTopic('chat', 2);
  // Two lines of the bridge make the difference to the chat on the embedded log.
  const config = chatConfig();
  Object.assign(config.bridge[0], { driver: 'kafka', servers: kafka.bootstrap });
  config.limits = { publish_timeout_ms: 3000 };
  const server = await startCrier({ t, config });
  const ready = () => server.waitUntilReady(30000);
  await ready();
  const ada = await ChatPage.open(browser, server, { name: 'Ada' });
  const grace = await ChatPage.open(browser, server, { name: 'Grace' });
  t.after(async () => {
    await ada.context.close();
    await grace.context.close();
  });

  await ada.say('through Kafka');
  await grace.shows(['through Kafka']);

  await server.kill();
  await ada.disconnected();
  await ada.say('while crier is away');
  await server.start();
  await ready();
  await ada.page.evaluate(() => document.getElementById('try-now').click());
  await grace.page.evaluate(() => document.getElementById('try-now').click());
  await grace.shows(['through Kafka', 'while crier is away'], 'after SIGKILL of crier');

  await kafka.kill();
  await until(async () => (await server.get('/readyz')).status === 503, 'not ready', 20000);
  await ada.say('while Kafka is away');
  await ada.screenshot('kafka-away');
  assert.deepEqual(await ada.pending(), ['while Kafka is away']);
  await kafka.restart();
  await ready();
  const all = ['through Kafka', 'while crier is away', 'while Kafka is away'];
  await until(async () => (await grace.messages()).length >= 3, 'the third message', 60000);
  await grace.say('back again');
  await ada.shows([...all, 'back again'], 'after SIGKILL of Kafka');
  await grace.shows([...all, 'back again'], 'the same on the other page');
  await ada.settled();
  assert.deepEqual([...(await ada.notes()), ...(await grace.notes())], []);
});
