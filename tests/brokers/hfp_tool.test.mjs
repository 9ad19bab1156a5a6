// crier-hfp and a real mosquitto: what is sent arrives, once, in order, evenly; brokers come and go.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { sleep, until } from '../lib/crier.mjs';
import { missing as noTool, recordingLine, runTool, startTool, sums, writeRecording } from '../lib/hfp.mjs';
import { missing as noBroker, startMosquitto, sub } from '../lib/mosquitto.mjs';

const skip = noTool ?? noBroker ?? false;

async function brokerAndReader(t, ...args) {
  const broker = await startMosquitto();
  t.after(() => broker.stop());
  const reader = await sub(broker, '/hfp/#', '-F', '%t\t%p', ...args);
  t.after(() => reader.stop());
  return { broker, reader, messages: () => reader.lines.map((line) => line.split('\t')) };
}

test('200 vehicles for three seconds send 600 positions, and nothing is lost', { skip }, async (t) => {
  const { broker, reader, messages } = await brokerAndReader(t);
  const { code, output } = await runTool(t, 'simulate', '--vehicles', '200', '--duration', '3s', '--to', broker.url);
  const said = sums(output);
  assert.equal(code, 0, output);
  assert.equal(said.lost + said.refused, 0, output);
  assert.equal(said.positions, 600);
  await until(() => reader.lines.length >= said.messages, 'all messages');
  assert.equal(reader.lines.length, said.messages);
  const positions = new Set(messages().filter(([topic]) => topic.includes('/vp/')).map(([topic, payload]) =>
    topic.split('/').slice(7, 9).join('.') + JSON.parse(payload).VP.tst));
  assert.equal(positions.size, 600);
  const vehicles = new Set(messages().map(([topic]) => topic.split('/').slice(7, 9).join('.')));
  assert.equal(vehicles.size, 200);
});

test('a simulation sends evenly, not in bursts', { skip }, async (t) => {
  const { broker, messages } = await brokerAndReader(t);
  await runTool(t, 'simulate', '--vehicles', '500', '--duration', '2s', '--to', broker.url);
  /* Times of the positions themselves: each tenth of a second has a tenth of them. */
  const tenths = new Map();
  const times = messages().filter(([topic]) => topic.includes('/vp/') && !topic.includes('/metro/'))
    .map(([, payload]) => Date.parse(JSON.parse(payload).VP.tst));
  const first = Math.min(...times);
  for (const time of times) {
    const tenth = Math.floor((time - first) / 100);
    tenths.set(tenth, (tenths.get(tenth) ?? 0) + 1);
  }
  for (let i = 1; i < 19; i++) assert.ok(Math.abs((tenths.get(i) ?? 0) - 50) < 25, `${tenths.get(i)} in tenth ${i}`);
});

test('a simulation has every mode, doors and the geohash of its place', { skip }, async (t) => {
  const { broker, messages } = await brokerAndReader(t);
  await runTool(t, 'simulate', '--vehicles', '400', '--duration', '8s', '--to', broker.url);
  const modes = new Set(messages().map(([topic]) => topic.split('/')[6]));
  for (const mode of ['bus', 'tram', 'train', 'metro', 'ferry']) assert.ok(modes.has(mode), mode);
  assert.ok(messages().some(([topic, payload]) => topic.includes('/doo/') && JSON.parse(payload).DOO.drst === 1));
  for (const [topic, payload] of messages()) {
    const [data] = Object.values(JSON.parse(payload));
    const levels = topic.split('/');
    if (levels[3] !== 'journey' || data.lat === null) continue;
    const [latitude, longitude] = [data.lat, data.long].map((d) => d.toFixed(6).split('.'));
    const digit = (k) => latitude[1][k] + longitude[1][k];
    assert.equal(levels.slice(15).join('/'), `${latitude[0]};${longitude[0]}/${digit(0)}/${digit(1)}/${digit(2)}`);
  }
});

for (const qos of ['0', '1'])
  test(`a replay with QoS ${qos} sends every line once and in order`, { skip }, async (t) => {
    const { broker, reader, messages } = await brokerAndReader(t, '-q', qos);
    const file = writeRecording(t, 5000);
    const { code, output } = await runTool(t, 'replay', file, '--speed', '0', '--qos', qos, '--to', broker.url);
    assert.equal(code, 0, output);
    assert.deepEqual(sums(output), { messages: 5000, positions: 5000, taken: 5000, lost: 0, refused: 0 });
    await until(() => reader.lines.length >= 5000, 'all lines');
    await sleep(100);
    assert.deepEqual(messages(), Array.from({ length: 5000 }, (_, n) => [recordingLine(n).topic, recordingLine(n).payload]));
  });

test('topics that MQTT does not have are refused, and what follows is sent', { skip }, async (t) => {
  const { broker, reader, messages } = await brokerAndReader(t);
  const file = writeRecording(t, 4, (lines) => [lines[0], '2024-02-13T16:33:00Z /hfp/# {}', '2024-02-13T16:33:00Z /hfp/+/x {}',
    Buffer.from('2024-02-13T16:33:00Z /hfp/\xff {}', 'latin1'), ...lines.slice(1)]);
  const { code, output } = await runTool(t, 'replay', file, '--speed', '0', '--qos', '1', '--to', broker.url);
  assert.equal(code, 0, output);
  assert.match(output, /refused: a topic has # or \+/);
  assert.equal(sums(output).refused, 3, output);
  await until(() => reader.lines.length >= 4, 'the others');
  assert.deepEqual(messages().map(([, payload]) => payload), [0, 1, 2, 3].map((n) => recordingLine(n).payload));
});

test('a replay keeps the pace of the recording', { skip }, async (t) => {
  const { broker, reader } = await brokerAndReader(t);
  const file = writeRecording(t, 21);
  const start = Date.now();
  const tool = startTool(t, 'replay', file, '--speed', '10', '--to', broker.url);
  await until(() => reader.lines.length === 21, 'all lines');
  const seconds = (Date.now() - start) / 1000;
  assert.ok(seconds >= 2 && seconds < 15, `20 s at ten times the speed took ${seconds} s`);
  assert.equal((await tool.ended).code, 0);
});

test('a replay loops until it is ended', { skip }, async (t) => {
  const { broker, reader } = await brokerAndReader(t);
  const tool = startTool(t, 'replay', writeRecording(t, 50), '--speed', '0', '--loop', '--to', broker.url);
  await until(() => reader.lines.length > 500, 'ten rounds');
  tool.child.kill('SIGINT');
  assert.equal((await tool.ended).code, 0);
  assert.ok(sums(tool.output()).messages > 500);
});

test('a simulation outlives its broker', { skip }, async (t) => {
  const { broker } = await brokerAndReader(t);
  const tool = startTool(t, 'simulate', '--vehicles', '100', '--to', broker.url);
  await sleep(500);
  await broker.kill();
  await until(() => /the broker is away/.test(tool.output()), 'word of the broker being away');
  await broker.start();
  await until(() => /the broker is back/.test(tool.output()), 'word of the broker being back', 20000);
  const reader = await sub(broker, '/hfp/#');
  t.after(() => reader.stop());
  await until(() => reader.lines.length > 100, 'positions after it');
  tool.child.kill('SIGTERM');
  assert.equal((await tool.ended).code, 0);
});

test('a replay with QoS 1 loses nothing when its broker restarts', { skip }, async (t) => {
  const { broker, reader } = await brokerAndReader(t, '-q', '1', '-c', '-i', 'reader-of-the-test', '-x', '3600');
  const tool = startTool(t, 'replay', writeRecording(t, 600), '--speed', '300', '--qos', '1', '--to', broker.url);
  await until(() => reader.lines.length > 100, 'a part');
  await broker.restart();
  assert.equal((await tool.ended).code, 0, tool.output());
  const expected = Array.from({ length: 600 }, (_, n) => recordingLine(n).payload);
  await until(() => new Set(reader.lines.map((line) => line.split('\t')[1])).size === 600, 'every line', 20000);
  const seen = [...new Set(reader.lines.map((line) => line.split('\t')[1]))];
  assert.deepEqual(seen, expected);
});

const recordings = process.env.CRIER_HFP_DATA;
test('recordings of the real feed arrive whole', { skip: recordings ? skip : 'CRIER_HFP_DATA names no folder' }, async (t) => {
  const { broker, reader, messages } = await brokerAndReader(t);
  for (const name of readdirSync(recordings).filter((n) => n.endsWith('.dump'))) {
    reader.lines.length = 0;
    const lines = readFileSync(join(recordings, name), 'utf8').trimEnd().split('\n');
    const { code, output } = await runTool(t, 'replay', join(recordings, name), '--speed', '0', '--to', broker.url);
    assert.equal(code, 0, output);
    await until(() => reader.lines.length >= lines.length, `${name}: all lines`);
    assert.deepEqual(messages().map((m) => m.join(' ')), lines.map((line) => line.slice(line.indexOf(' ') + 1)));
  }
});
