// The golden frames and deltas of the channels wire against the codecs inside of the npm client `centrifuge`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Centrifuge as JsonCentrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import { buildDir, root } from '../lib/crier.mjs';

const protobuf = new ProtobufCentrifuge('ws://127.0.0.1:1')._codec;
const json = new JsonCentrifuge('ws://127.0.0.1:1')._codec;
const directory = join(root, 'proto/golden/channels');

function readGolden(file) {
  const golden = { file, protobuf: Buffer.alloc(0) };
  for (const line of readFileSync(join(directory, file), 'utf8').trimEnd().split('\n')) {
    const [, key, value] = line.match(/^(\w+):\s?(.*)$/);
    if (key === 'protobuf') {
      golden.hasProtobuf = true;
      golden.protobuf = Buffer.concat([golden.protobuf, Buffer.from(value.replaceAll(' ', ''), 'hex')]);
    } else {
      golden[key] = value;
    }
  }
  return golden;
}

const all = readdirSync(directory).map(readGolden);
const commands = all.filter((g) => g.direction === 'decode');
const replies = all.filter((g) => g.direction === 'encode' && g.hasProtobuf);

function delimited(message) {
  const length = [];
  for (let n = message.length; length.push(n & 127), n >>= 7;) length[length.length - 1] |= 128;
  return Buffer.concat([Buffer.from(length), message]);
}

/** What JSON says: bytes fields as the bytes they are in protobuf, numbers and everything else as they stand. */
const BYTES = new Set(['data', 'conn_info', 'chan_info']);
function withBytes(value, key = '', strings = false) {
  if (BYTES.has(key)) return Buffer.from(strings && typeof value === 'string' ? value : JSON.stringify(value));
  if (Array.isArray(value)) return value.map((v) => withBytes(v, '', strings));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withBytes(v, k, strings)]));
}

/** A decoded message as plain data: set members only, as JSON leaves zero values out. */
function plain(value) {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.toNumber === 'function') return value.toNumber();
  return Object.fromEntries(Object.keys(value).map((k) => [k, plain(value[k])]));
}

/** Without what protobuf cannot say: zero values, empty lists and maps. Presence is a map inside of a result of that name. */
const MAPS = new Set(['subs', 'tags', 'headers']);
function withoutZeros(value, path = []) {
  if (value instanceof Uint8Array || value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((v) => withoutZeros(v, [...path, '']));
  const isMap = MAPS.has(path.at(-1));
  const isZero = (k, v) => v === 0 || v === '' || v === false || (Array.isArray(v) && v.length === 0) ||
    (v !== null && typeof v === 'object' && !(v instanceof Uint8Array) && Object.keys(v).length === 0 &&
      (MAPS.has(k) || (k === 'presence' && path.at(-1) === 'presence')));
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withoutZeros(v, [...path, k])])
    .filter(([k, v]) => isMap || !isZero(k, v)));
}

/** Frames of subscriptions with deltas: their data are strings in JSON, and the bytes themselves in protobuf. */
const WITH_STRINGS = new Set(['reply-subscribe-strings.txt', 'push-publication-string.txt', 'push-publication-delta.txt']);

test('the client reads every golden reply and push as the JSON says', () => {
  assert.ok(replies.length >= 36);
  for (const g of replies) {
    const [decoded, ...more] = protobuf.decodeReplies(delimited(g.protobuf));
    assert.equal(more.length, 0);
    const said = JSON.parse(g.json);
    assert.deepEqual(withoutZeros(plain(decoded)), withoutZeros(withBytes(said, '', WITH_STRINGS.has(g.file))), g.file);
    assert.deepEqual(json.decodeReplies(g.json), [said]);
  }
});

test('the client writes every golden command as recorded', () => {
  assert.ok(commands.length >= 22);
  for (const g of commands) {
    // 64-bit integers beyond 2^53 cannot be said in this language's JSON
    if (/9007199254740993/.test(g.json)) continue;
    const bytes = Buffer.from(protobuf.encodeCommands([withBytes(JSON.parse(g.json))]));
    assert.deepEqual(plain(protobuf.decodeCommands(delimited(g.protobuf))[0]), plain(protobuf.decodeCommands(bytes)[0]),
      g.file);
    assert.equal(bytes.toString('hex'), delimited(g.protobuf).toString('hex'), g.file);
  }
});

// ---- deltas ----

function makeDeltas(pairs) {
  const parts = [];
  for (const [source, target] of pairs)
    for (const text of [source, target]) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      parts.push(length, text);
    }
  const run = spawnSync(join(buildDir, 'tests/delta_pairs'), { input: Buffer.concat(parts), maxBuffer: 1 << 28 });
  assert.equal(run.status, 0, run.stderr.toString());
  const deltas = [];
  for (let at = 0; at < run.stdout.length;) {
    const length = run.stdout.readUInt32LE(at);
    deltas.push(run.stdout.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  assert.equal(deltas.length, pairs.length);
  return deltas;
}

/** Repeatable pseudo-random numbers. */
function generator(seed) {
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * n);
  };
}

const WORDS = ['bus', 'pysäkki', 'é', 'è', '日本', '日木', '😀', '😁', '€', 'x'.repeat(40), '\n', '"', '\\', '\u0001'];

function makeDocument(random) {
  const list = Array.from({ length: random(12) }, () => ({
    id: random(1000), name: WORDS[random(WORDS.length)] + WORDS[random(WORDS.length)], at: random(1e6) / 1000,
  }));
  return { list, note: WORDS[random(WORDS.length)].repeat(random(5)) };
}

function change(random, document) {
  const next = structuredClone(document);
  if (random(3) === 0) next.list.push(next.list.shift() ?? { id: 1 });
  if (random(3) === 0) next.list.splice(random(5), 1);
  if (next.list.length) next.list[random(next.list.length)].name = WORDS[random(WORDS.length)];
  if (random(4) === 0) next.note = WORDS[random(WORDS.length)] + next.note;
  return next;
}

test('the client applies the deltas that are made for it', () => {
  const random = generator(11);
  const pairs = Array.from({ length: 3000 }, () => {
    const document = makeDocument(random);
    return [Buffer.from(JSON.stringify(document)), Buffer.from(JSON.stringify(change(random, document)))];
  });
  const deltas = makeDeltas(pairs);
  let applied = 0;
  for (const [i, [source, target]] of pairs.entries()) {
    if (deltas[i].length === 0) continue;
    applied++;
    assert.ok(deltas[i].length < target.length);
    // as a JSON string: what is no character on its own would be replaced here
    const text = new TextDecoder('utf-8', { fatal: true }).decode(deltas[i]);
    const inJson = json.applyDeltaIfNeeded({ delta: true, data: text }, new Uint8Array(source));
    assert.deepEqual(inJson.newData, JSON.parse(target));
    assert.deepEqual(Buffer.from(inJson.newPrevValue), target);
    const inProtobuf = protobuf.applyDeltaIfNeeded({ delta: true, data: new Uint8Array(deltas[i]) }, new Uint8Array(source));
    assert.deepEqual(Buffer.from(inProtobuf.newData), target);
  }
  assert.ok(applied > 1500, `${applied} of ${pairs.length}`);
});

test('the delta of the golden frames leads from one to the other', () => {
  const data = (name) => JSON.parse(all.find((g) => g.file === `${name}.txt`).json).push.pub;
  const full = json.applyDeltaIfNeeded(data('push-publication-string'));
  const { newData } = json.applyDeltaIfNeeded(data('push-publication-delta'), full.newPrevValue);
  assert.deepEqual(newData, { ...full.newData, n: 2 });
});
