// The documents and the code say the same: examples run, links lead somewhere, tests that are named exist.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { buildDir, root, startCrier, until } from '../lib/crier.mjs';

const read = (path) => readFileSync(join(root, path), 'utf8');
const own = (path) => !/(^|\/)(node_modules|build[^/]*|\.[^/]+|data)\//.test(`${path}/`);
const markdown = () => readdirSync(root, { recursive: true }).filter((path) => path.endsWith('.md') && own(dirname(path)) && own(path));

/** Code blocks of a language below the heading that contains `title`. */
function blocks(path, title, language) {
  const section = read(path).split(/^#{2,} /m).find((part) => part.split('\n')[0].includes(title));
  assert.ok(section, `${path} has no heading with "${title}"`);
  return [...section.matchAll(/^```(\w+)\n(.*?)^```/gms)].filter((m) => m[1] === language).map((m) => m[2]);
}

function temporary(t) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-docs-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const chat = {
  bridge: [{ name: 'embedded', driver: 'embedded', servers: 'data/crier.db' }],
  namespace: [{ name: 'chat', history: 100, type: 1, presence: true, join_leave: true }],
  source: [{ bridge: 'embedded', topic: 'chat', from: 'history', channel: 'chat:{key}' }],
  sink: [{ channel: 'chat:*', bridge: 'embedded', topic: 'chat', key: '{channel.1}' }],
  module: [{ name: 'chatroom' }],
};

/** Runs an example of a browser in Node until its output fits; fails with the output otherwise. Gives what it says later. */
async function runExample(t, server, code, expected) {
  const dir = temporary(t);
  const ws = pathToFileURL(join(root, 'tests/node_modules/ws/wrapper.mjs'));
  const centrifuge = pathToFileURL(join(root, 'tests/node_modules/centrifuge/build/index.mjs'));
  const adapted = code.replaceAll('127.0.0.1:8800', `127.0.0.1:${server.port}`)
    .replace("'/lib/", `'${pathToFileURL(join(root, 'web/lib'))}/`).replace("'centrifuge'", `'${centrifuge}'`);
  writeFileSync(join(dir, 'socket.mjs'), `import WebSocket from '${ws}';\nglobalThis.WebSocket = WebSocket;
globalThis.CustomEvent ??= class extends Event {
  constructor(type, options) {
    super(type);
    this.detail = options?.detail;
  }
};\n`); // what browsers have and Node 18 has not
  writeFileSync(join(dir, 'example.mjs'), `import './socket.mjs';\n${adapted}`);
  const child = spawn(process.execPath, [join(dir, 'example.mjs')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
  t.after(() => child.kill('SIGKILL'));
  await until(() => expected.every((line) => line.test(output)), 'output of the example').catch((error) => assert.fail(`${error.message}\n${output}`));
  return () => output;
}

test('README: ten lines of a browser without a library work', async (t) => {
  const server = await startCrier({ t, config: chat });
  const [code] = blocks('README.md', 'nothing but a WebSocket', 'js');
  await runExample(t, server, code, [/^stored: \{.*offset: 1/m, /^1 Ada hello$/m]);
});

test('README: ten lines of a browser with the library work, over a restart, too', async (t) => {
  const server = await startCrier({ t, config: chat });
  const [code] = blocks('README.md', 'the small library', 'js');
  await runExample(t, server, code, [/^stored in partition 0 at 1$/m, /^1 hello$/m]);
  await server.kill();
  await server.start();
  await until(async () => (await server.get('/channels/chat:lobby')).json.offset === 2, 'the example comes back and sends again');
});

test('README: ten lines with the centrifuge library work, over a restart, too', async (t) => {
  const config = JSON.parse(JSON.stringify(chat).replaceAll('chat', 'demo'));
  config.module = [{ name: 'chatroom' }]; // config.toml has it, too
  config.namespace[0].publish = true;
  const server = await startCrier({ t, config });
  const [code] = blocks('README.md', 'the client library of another server', 'js');
  const output = await runExample(t, server, code, [/^1 hello$/m, /^stored: 1$/m, /^here: 1$/m]);
  await server.kill();
  await server.start();
  await until(() => /^recovered: true$/m.test(output()), 'it recovers');
});

test('web/lib: the ten lines of channels.mjs work', async (t) => {
  const server = await startCrier({ t, config: { ...chat, namespace: [...chat.namespace, { name: 'prices', keyed: true }] } });
  await server.api('map_publish', { channel: 'prices:all', key: 'a', data: 7 });
  await server.api('publish', { channel: 'chat:lobby', data: { message: 'hello' } });
  const comment = /import .*?connect\(\);/s.exec(read('web/lib/channels.mjs'))[0].replaceAll(/^ \*\s*/gm, '');
  const more = "prices.addEventListener('publication', (e) => console.log(e.detail.key, e.detail.payload));";
  await runExample(t, server, comment.replace('connection/websocket', 'connection/websocket?join=none') + more, [/^1 \{ message: 'hello' \}$/m, /^a 7$/m]);
});

const curl = spawnSync('curl', ['--version']).error ? 'curl is not installed' : false;
test('README: the curl commands work', { skip: curl }, async (t) => {
  const server = await startCrier({ t, config: chat });
  const commands = blocks('README.md', 'curl: publish', 'sh').join('').split('\n').filter((line) => line.startsWith('curl'));
  assert.equal(commands.length, 3);
  const run = (line) => JSON.parse(execFileSync('sh', ['-c', line.replaceAll(':8800', `:${server.port}`).replace('data/api.key', 'api.key')],
    { cwd: server.dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const { result } = run(commands[0]);
  assert.ok(result.offset > 0 && result.epoch);
  assert.equal(run(commands[1]).publications[0].data.message, 'hello');
  const since = commands[2].replace(/since=[^&]*/, `since=${result.epoch}:${result.offset}`).replace('wait=30', 'wait=1');
  const { recovered, publications } = run(since);
  assert.deepEqual([recovered, publications], [true, []]);
});

/** Compiles the C module of a page as its own command says; gives the folder of the result. */
function compile(t, path, title) {
  const dir = temporary(t);
  const [source] = blocks(path, title, 'c');
  const command = blocks(path, title, 'sh').join('').split('\n').find((line) => line.startsWith('cc '));
  const name = /(\w+)\.c$/.exec(command)[1];
  mkdirSync(join(dir, 'build/modules'), { recursive: true });
  writeFileSync(join(dir, `${name}.c`), source);
  execFileSync('sh', ['-c', command.replace('cc ', 'cc -Wall -Wextra -Werror ').replace('server/include', join(root, 'server/include'))], { cwd: dir });
  return join(dir, 'build/modules');
}

test('README: the module compiles, loads and answers', async (t) => {
  const folder = compile(t, 'README.md', 'A handler in C');
  const server = await startCrier({ t, config: { server: { module_dir: folder }, namespace: [{ name: 'default', type: 10 }], module: [{ name: 'hello' }] } });
  const [ada, grace] = [await server.typed(), await server.typed()];
  await grace.subscribe('hello');
  const answer = await ada.request(10, { name: 'Ada' });
  assert.equal(answer.payload.ok?.offset, 1, answer.raw);
  assert.deepEqual((await grace.publications('hello', 1))[0].payload, { name: 'Ada' });
});

test('README and docs: configuration that is shown is valid', (t) => {
  const dir = temporary(t);
  const shown = [['An MQTT feed', 0], ['Kafka instead', 0], ['A handler in C', 0]].map(([title, i]) => blocks('README.md', title, 'toml')[i]);
  writeFileSync(join(dir, 'config.toml'), shown.join('\n'));
  const check = spawnSync(join(buildDir, 'crier'), ['check', '-c', join(dir, 'config.toml')], { encoding: 'utf8' });
  const faults = (check.stdout + check.stderr).split('\n').filter((line) => /^\S+:\d+:\d+ /.test(line) && !line.includes('note:'));
  // A driver that was not built here says so; that is no fault of the example.
  assert.deepEqual(faults.filter((line) => !line.includes('not in this build')), []);
  if (faults.length === 0) assert.equal(check.status, 0, check.stdout + check.stderr);
});

test('from Centrifugo: the configuration is valid, and options and methods that are named exist', (t) => {
  const dir = temporary(t);
  const [toml] = blocks('docs/from-centrifugo.md', 'side by side', 'toml');
  writeFileSync(join(dir, 'config.toml'), toml);
  for (const name of ['hmac.secret', 'api.key']) writeFileSync(join(dir, name), 'x'.repeat(40), { mode: 0o600 });
  const check = spawnSync(join(buildDir, 'crier'), ['check', '-c', join(dir, 'config.toml')], { encoding: 'utf8' });
  assert.equal(check.status, 0, check.stdout + check.stderr);
  const known = new Set([...docs('config').matchAll(/^\| `(\w+)` \|/gm)].map((m) => m[1]));
  const rows = docs('from-centrifugo').split('## Server API')[0].split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Centrifugo'));
  const named = rows.flatMap((line) => [...line.split('|')[2].matchAll(/`(?:\w+\.)?(\w+)`/g)].map((m) => m[1]));
  assert.ok(named.length > 50);
  assert.deepEqual(named.filter((name) => !known.has(name)), []);
  const methods = [...read('server/api/command.c').matchAll(/\{"(\w+)", command_run_\w+\}/g)].map((m) => m[1]);
  assert.deepEqual(methods.filter((name) => !docs('from-centrifugo').includes(`\`${name}\``)), []);
});

test('channels wire: endpoints and keys of the configuration that the page names exist', () => {
  const page = docs('channels-wire');
  const sources = readdirSync(join(root, 'server/wire')).filter((name) => name.endsWith('.c')).map((name) => read(`server/wire/${name}`)).join('');
  const served = new Set([...sources.matchAll(/"(\/(?:connection\/\w+|emulation))"/g)].map((m) => m[1]));
  assert.equal(served.size, 7);
  for (const path of served) assert.ok(page.includes(`${path}\``), path);
  for (const [, key] of page.matchAll(/`(?:limits|auth)\.(\w+)`/g)) assert.match(docs('config'), new RegExp(`^\\| \`${key}\` `, 'm'));
});

test('relative links in Markdown files lead to files', () => {
  const broken = [];
  for (const path of markdown())
    for (const [, target] of read(path).replaceAll(/^```.*?^```/gms, '').matchAll(/\]\(([^)\s]+)\)/g))
      if (!/^[a-z]+:|^#/.test(target) && !existsSync(resolve(root, dirname(path), target.replace(/#.*/, '')))) broken.push(`${path}: ${target}`);
  assert.deepEqual(broken, []);
});

test('files that documents name in code font are there', () => {
  const missing = [];
  for (const path of markdown())
    for (const [, name] of read(path).matchAll(/`((?:server|proto|bridges|web|tests|examples|docs)\/[\w./-]+\.\w+)`/g))
      if (!existsSync(join(root, name))) missing.push(`${path}: ${name}`);
  assert.deepEqual(missing, []);
});

const docs = (name) => read(`docs/${name}.md`);

test('errors: the page and the table of the code agree', () => {
  const page = new Map([...docs('errors').matchAll(/^\| (\d+) \| (\d+) \| (yes|no) \|/gm)].map((m) => [m[1], [m[2], m[3]]]));
  const number = new Map([...read('server/util/error.h').matchAll(/(CRIER_ERR_\w+) = (\d+)/g)].map((m) => [m[1], m[2]]));
  const code = new Map([...read('server/util/error.c').matchAll(/\{(CRIER_ERR_\w+), (\d+), (true|false)/g)]
    .map((m) => [number.get(m[1]), [m[2], m[3] === 'true' ? 'yes' : 'no']]));
  assert.ok(code.size >= 20);
  assert.equal(code.size, number.size, 'error.h and error.c');
  assert.deepEqual([...page].sort(), [...code].sort());
});

test('close codes: what the server sends is on the page', () => {
  const values = new Map([...read('server/util/error.h').matchAll(/(CLOSE_\w+) = (\d+)/g)].map((m) => [m[1], m[2]]));
  const sources = ['server', 'proto'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true })
    .filter((path) => path.endsWith('.c')).map((path) => read(join(folder, path)))).join('\n');
  const sent = [...values].filter(([name]) => new RegExp(`\\b${name}\\b`).test(sources)).map(([, code]) => code);
  const page = docs('errors');
  assert.ok(sent.length >= 8);
  assert.deepEqual(sent.filter((code) => !page.includes(`| ${code} |`)), []);
});

test('architecture: folders include what the table allows and nothing else', () => {
  const rows = [...docs('architecture').matchAll(/^\| `((?:server|proto|bridges)[\w/]*)` \| (.*) \|$/gm)];
  const top = new Set(['api', 'app', 'bridges', 'config', 'hub', 'loop', 'net', 'proto', 'session', 'util', 'wire']);
  const wrong = [];
  assert.ok(rows.length >= 8);
  for (const [, folder, text] of rows) {
    const allowed = new Set([...text.matchAll(/`(\w+)`/g)].map((m) => m[1]));
    for (const name of readdirSync(join(root, folder)).filter((file) => /\.(c|h|cpp)$/.test(file)))
      for (const [, other] of read(join(folder, name)).matchAll(/^#include "(\w+)\//gm))
        if (top.has(other) && !folder.endsWith(other) && !allowed.has(other)) wrong.push(`${folder}/${name} includes ${other}`);
  }
  assert.deepEqual(wrong, []);
});

/** Titles of all tests of a file: of Node's runner, or of cmocka. */
function testsOf(path) {
  const text = read(path);
  if (path.endsWith('.c')) return [...text.matchAll(/(?:cmocka_unit_test\w*|TEST)\((\w+)/g)].map((m) => m[1]);
  return [...text.matchAll(/^\s*(?:await )?(?:test|it|t\.test)\(\s*(['"`])(.+?)\1/gm)].map((m) => m[2].replace(/\\(.)/g, '$1'));
}

test('guarantees: every test that is named exists', () => {
  const named = [...docs('guarantees').matchAll(/^- `(tests\/[\w./-]+)`: (.+)$/gm)];
  const missing = [];
  assert.ok(named.length >= 20);
  for (const [, path, list] of named) {
    const titles = existsSync(join(root, path)) ? testsOf(path) : [];
    for (const [, title] of list.matchAll(/\*(.+?)\*(?:;|$)/g)) if (!titles.includes(title)) missing.push(`${path}: ${title}`);
    if (!/\*.+\*$/.test(list)) missing.push(`${path}: no test is named`);
  }
  assert.deepEqual(missing, []);
});

test('guarantees: all seven promises are there, each with a test or the words that none proves it', () => {
  const sections = docs('guarantees').split(/^## /m).slice(1).filter((part) => /^\d/.test(part));
  assert.deepEqual(sections.map((part) => Number(part[0])), [1, 2, 3, 4, 5, 6, 7]);
  for (const part of sections) {
    assert.match(part, /^\*\*Proved by\*\*$|^- `tests\//m, part.split('\n')[0]);
    assert.match(part, /^\*\*Not proved yet:\*\*/m, part.split('\n')[0]);
  }
});

test('REST: every route and method of the server is on the page', () => {
  const page = docs('rest');
  const routes = [...read('server/api/routes.c').matchAll(/\.method = "(\w+)", \.pattern = "([^"*]+)/g)].map((m) => [m[1], m[2]]);
  const methods = [...read('server/api/command.c').matchAll(/\{"(\w+)", command_run_\w+\}/g)].map((m) => m[1]);
  assert.ok(routes.length >= 6 && methods.length >= 19);
  for (const [method, path] of routes) assert.ok(page.includes(`${method} ${path}`), `${method} ${path}`);
  for (const method of methods) assert.match(page, new RegExp(`\\| \`${method}\` \\|`), method);
});

test('modules: every call of crier.h is on the page', () => {
  const page = docs('modules');
  const calls = [...read('server/include/crier/crier.h').matchAll(/^CRIER_EXPORT [\w ]+\*?(crier_\w+)\(/gm)].map((m) => m[1]);
  assert.ok(calls.length > 30);
  assert.deepEqual(calls.filter((name) => name !== 'crier_module_init' && !page.includes(name)), []);
});

test('modules: the example compiles, loads and does what the page says', async (t) => {
  const folder = compile(t, 'docs/modules.md', 'An example');
  const [toml] = blocks('docs/modules.md', 'An example', 'toml');
  const server = await startCrier({ t, config: `${toml}\n[server]\nmodule_dir = "${folder}"\n` });
  const client = await server.typed({ path: '/ws?name=Ada&format=object' });
  await client.next((m) => m.type === 0xfffffffc, 'the subscription that the module made');
  const answer = await client.request(30, { item: 'boat', price: 120 });
  assert.deepEqual(answer.payload.ok?.offset, 1, answer.raw);
  assert.deepEqual((await client.publications('auction:all', 1))[0].payload, { item: 'boat', price: 120 });
  assert.equal((await client.request(30, { item: 'boat' })).payload.error?.code, 107);
  const best = await server.get('/auction/best');
  assert.deepEqual(best.json, { best: 120 });
  await assert.rejects(server.typed({ path: '/ws?format=object' }), { status: 403 });
});

test('dependencies: the page names every package that the scripts install, and no other', () => {
  const lists = [...read('scripts/packages.sh').matchAll(/^packages_(?:run|test)=\((.*?)^\)/gms)].flatMap((m) => m[1].trim().split(/\s+/));
  const rows = docs('dependencies').split('\n').filter((line) => /^\| `/.test(line)).map((line) => line.split('|')[1]);
  const named = rows.flatMap((cell) => [...cell.matchAll(/`([\w.+-]+)`/g)].map((m) => m[1]));
  assert.ok(lists.length > 20);
  assert.deepEqual(named.sort(), lists.sort());
});
