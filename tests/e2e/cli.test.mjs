// The command line as a user meets it: exit codes, check, drivers, token, and publish and watch against a server that
// answers as the REST interface does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { binary, freePort, until } from '../lib/crier.mjs';

const SECRET = '0123456789abcdef0123456789abcdef';

function folder(t, files = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-cli-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 });
  return dir;
}

/** Starts `crier ARGS`; `done` resolves to its exit code. */
function start(t, args, { cwd, input } = {}) {
  const child = spawn(binary, args, { cwd, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  const run = { child, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => { run.stdout += data; });
  child.stderr.on('data', (data) => { run.stderr += data; });
  if (input !== undefined) child.stdin.end(input);
  run.done = new Promise((resolve) => child.on('close', (code) => resolve(code)));
  t.after(() => child.kill('SIGKILL'));
  return run;
}

async function crier(t, args, options) {
  const run = start(t, args, options);
  return { code: await run.done, stdout: run.stdout, stderr: run.stderr };
}

test('help and version', async (t) => {
  const help = await crier(t, ['--help']);
  assert.equal(help.code, 0);
  for (const command of ['run', 'check', 'drivers', 'publish', 'watch', 'token']) {
    assert.match(help.stdout, new RegExp(`^  crier ${command} `, 'm'));
    const own = await crier(t, [command, '--help']);
    assert.equal(own.code, 0);
    assert.match(own.stdout, new RegExp(`^usage: crier ${command} `));
  }
  assert.match((await crier(t, ['--version'])).stdout, /^crier \d+\.\d+\.\d+\n$/);
});

test('a wrong command line ends with 64 and says why', async (t) => {
  const cases = [
    [['frobnicate'], /no command 'frobnicate'/],
    [['-x'], /invalid option/],
    [['check', '--nothing'], /unrecognized option '--nothing'/],
    [['check', 'file'], /unexpected argument 'file'/],
    [['check', '-c'], /requires an argument/],
    [['watch'], /an argument is missing/],
    [['watch', 'chat:a', '--since', 'x', '--server', 'http://127.0.0.1:1'], /EPOCH:OFFSET or begin/],
    [['watch', 'chat:a', '--server', 'https://127.0.0.1:1'], /allowed: http:\/\/HOST:PORT/],
    [['token'], /--user is missing/],
    [['token', '--user', 'ann', '--ttl', 'soon'], /--ttl is a duration/],
  ];
  for (const [args, message] of cases) {
    const result = await crier(t, args, { cwd: folder(t) });
    assert.equal(result.code, 64, args.join(' '));
    assert.match(result.stderr, message);
  }
});

test('check reports every fault with its place and ends with 1', async (t) => {
  const dir = folder(t, {
    'config.toml': '[server]\nlisen = 1\n[[bridge]]\nname = "b"\ndriver = "kafak"\nservers = "x"\n[limits]\nfragments = 0\n',
  });
  const result = await crier(t, ['check'], { cwd: dir });
  assert.equal(result.code, 1);
  assert.match(result.stdout, /^config\.toml:2:1 server\.lisen: unknown key \(did you mean listen\?\), allowed: /m);
  assert.match(result.stdout, /^config\.toml:8:13 limits\.fragments: out of range, allowed: /m);
  const driver = await crier(t, ['check', '-s', 'server.lisen=1', '-s', 'limits.fragments=1'], { cwd: dir });
  assert.match(driver.stdout, /^-s server\.lisen=1 server\.lisen: unknown key/m);
  assert.doesNotMatch(driver.stdout, /fragments: out/);
});

test('check holds the configuration against what the drivers can do', async (t) => {
  const toml = (driver, extra) => `[[bridge]]\nname = "b"\ndriver = "${driver}"\nservers = "x.db"\n`
    + `[[namespace]]\nname = "chat"\n[[source]]\nbridge = "b"\ntopic = "t"\nchannel = "chat:{key}"\n${extra}`;
  const dir = folder(t);
  const check = async (text) => {
    writeFileSync(join(dir, 'config.toml'), text);
    return crier(t, ['check'], { cwd: dir });
  };
  const sound = await check(toml('embedded', 'from = "history"\n'));
  assert.equal(sound.stdout, 'config.toml: ok\n');
  assert.equal(sound.code, 0);
  const unknown = await check(toml('kafak', ''));
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout, /^config\.toml:1:1 bridge\.driver: kafak: unknown driver "kafak", allowed: embedded, kafka, /m);
  const pattern = await check(toml('embedded', '').replace('topic = "t"', 'topic = "t/#"'));
  assert.equal(pattern.code, 1);
  assert.match(pattern.stdout, /^config\.toml:7:1 source\.topic: a pattern asks for wildcards, which driver embedded does not offer, allowed: /m);
  const retained = await check(toml('embedded', '[[sink]]\nchannel = "chat:*"\nbridge = "b"\ntopic = "t"\nretain = true\n'));
  assert.match(retained.stdout, /^config\.toml:11:1 sink\.retain: true asks for retained records, which driver embedded /m);
});

test('a driver that cannot be used is a message, not a crash', async (t) => {
  const dir = folder(t, {
    'config.toml': '[server]\ndriver_dir = "drivers"\n[[bridge]]\nname = "b"\ndriver = "kafka"\nservers = "x"\n',
  });
  mkdirSync(join(dir, 'drivers'));
  const absent = await crier(t, ['check'], { cwd: dir });
  assert.equal(absent.code, 1);
  assert.match(absent.stdout, /bridge\.driver: kafka: no kafka\.so in drivers; building it needs librdkafka-dev$/m);
  writeFileSync(join(dir, 'drivers', 'kafka.so'), 'not a shared object');
  const broken = await crier(t, ['check'], { cwd: dir });
  assert.equal(broken.code, 1);
  assert.match(broken.stdout, /bridge\.driver: kafka: cannot be loaded: .*kafka\.so: /m);
  const list = await crier(t, ['drivers'], { cwd: dir });
  assert.equal(list.code, 0);
  assert.match(list.stdout, /^kafka .*\n +cannot be loaded: /m);
});

test('drivers lists all eight and what they can do', async (t) => {
  const { code, stdout } = await crier(t, ['drivers'], { cwd: folder(t) });
  assert.equal(code, 0);
  const names = [...stdout.matchAll(/^(\w+) +\S.*$/gm)].map((match) => match[1]);
  assert.deepEqual(names, ['embedded', 'kafka', 'mqtt', 'rabbitmq', 'nats', 'redis', 'pulsar', 'rocketmq']);
  assert.match(stdout, /^embedded .*\n +ordered replayable acked /m);
});

test('run refuses a faulty configuration with 78', async (t) => {
  const dir = folder(t, { 'config.toml': '[log]\nlevel = "loud"\n' });
  for (const args of [['run'], []]) {
    const { code, stdout, stderr } = await crier(t, args, { cwd: dir });
    assert.equal(code, 78);
    assert.equal(stdout, '');
    assert.match(stderr, /^config\.toml:2:9 log\.level: unknown value "loud", allowed: "debug", "info", "warn", "error"\n$/);
  }
  const missing = await crier(t, ['-c', 'none.toml'], { cwd: dir });
  assert.equal(missing.code, 78);
  assert.match(missing.stderr, /^none\.toml: cannot be read: /);
});

test('token signs claims that anybody with the secret can check', async (t) => {
  const dir = folder(t, { 'config.toml': '[auth]\nhmac_secret_file = "hmac.secret"\n', 'hmac.secret': `${SECRET}\n` });
  const args = ['token', '--user', 'ann', '--ttl', '90s', '--claim', 'room=lobby', '--claim', 'n=[1]'];
  const { code, stdout } = await crier(t, args, { cwd: dir });
  assert.equal(code, 0);
  const [header, claims, signature] = stdout.trim().split('.');
  assert.equal(signature, createHmac('sha256', SECRET).update(`${header}.${claims}`).digest('base64url'));
  const parsed = JSON.parse(Buffer.from(claims, 'base64url'));
  assert.deepEqual({ ...parsed, exp: parsed.exp - parsed.iat, iat: 0 }, { sub: 'ann', exp: 90, iat: 0, room: 'lobby', n: [1] });
  const without = await crier(t, ['token', '--user', 'ann', '-s', 'auth.hmac_secret_file='], { cwd: dir });
  assert.equal(without.code, 78);
});

/** Answers as the REST interface: one channel, epoch e:1, offsets from 1. */
async function restServer(t, port = 0) {
  const state = { publications: [], requests: [], sockets: new Set() };
  const reply = (response, body, status = 200) => {
    const text = JSON.stringify(body);
    response.writeHead(status, { 'content-length': Buffer.byteLength(text) }).end(text);
  };
  const poll = async (url, response) => {
    const since = url.searchParams.get('since');
    const body = () => ({ channel: 'c', epoch: 'e:1', offset: state.publications.length, recovered: true });
    const limit = Number(url.searchParams.get('limit') ?? 100);
    if (since === null) return reply(response, { ...body(), publications: state.publications.slice(-limit) });
    const known = Number(since.split(':').pop());
    for (let i = 0; i < 50 && state.publications.length <= known; i++) await new Promise((done) => setTimeout(done, 20));
    return reply(response, { ...body(), publications: state.publications.slice(known) });
  };
  const publish = (body, response) => {
    if (body.data === 'refused') return reply(response, { error: { code: 121, message: 'broker unavailable' } });
    const { data, key } = body;
    state.publications.push({ offset: state.publications.length + 1, time: 1, ...(key && { key }), data });
    return reply(response, { result: { offset: state.publications.length, epoch: 'e:1' } });
  };
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const url = new URL(request.url, 'http://x');
    state.requests.push({ method: request.method, path: url.pathname, key: request.headers['x-api-key'], text });
    if (request.method === 'POST') publish(JSON.parse(text), response);
    else if (url.pathname === '/channels/secret:a') reply(response, { error: { code: 103, message: 'permission denied' } }, 403);
    else await poll(url, response);
  });
  server.on('connection', (socket) => { state.sockets.add(socket); });
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  state.stop = () => new Promise((done) => {
    state.sockets.forEach((socket) => socket.destroy());
    server.close(done);
  });
  t.after(() => state.stop());
  state.url = `http://127.0.0.1:${server.address().port}`;
  return state;
}

test('publish sends lines and prints acknowledged positions', async (t) => {
  const rest = await restServer(t);
  const dir = folder(t, { 'api.key': 'k3y\n' });
  const input = Buffer.concat([Buffer.from('say "hi"\n{"a":1.50}\nrefused\n\n'), Buffer.from([0xff, 0x0a]), Buffer.from('12')]);
  const args = ['publish', 'chat:lobby', '--server', rest.url, '--api-key-file', 'api.key', '--key', 'k"1'];
  const { code, stdout, stderr } = await crier(t, args, { cwd: dir, input });
  assert.equal(stdout, '1 e:1\n2 e:1\n3 e:1\n4 e:1\n');
  assert.equal(stderr, 'crier publish: line 3: error 121: broker unavailable\ncrier publish: line 5: not UTF-8, not published\n');
  assert.equal(code, 1);
  assert.deepEqual(rest.publications.map((p) => p.data), ['say "hi"', { a: 1.5 }, '', 12]);
  assert.equal(rest.requests[1].text, '{"channel":"chat:lobby","key":"k\\"1","data":{"a":1.50}}'); // byte for byte
  assert.ok(rest.requests.every((request) => request.key === 'k3y' && request.path === '/api/publish'));
});

test('publish takes server and key from the configuration, and ends with 69 when the server is away', async (t) => {
  const port = await freePort();
  const dir = folder(t, {
    'config.toml': `[server]\nlisten = "0.0.0.0:${port}"\n[auth]\napi_key_file = "api.key"\n`, 'api.key': 'from-config\n',
  });
  const away = await crier(t, ['publish', 'chat:a'], { cwd: dir, input: 'x\ny\n' });
  assert.equal(away.code, 69);
  assert.equal(away.stderr, 'crier publish: line 1: Connection refused\n');
  const rest = await restServer(t, port);
  const { code, stdout } = await crier(t, ['publish', 'chat:a'], { cwd: dir, input: 'x\n' });
  assert.equal(code, 0);
  assert.equal(stdout, '1 e:1\n');
  assert.equal(rest.requests[0].key, 'from-config');
});

test('publish finds out that an idle connection was closed before it loses a line', async (t) => {
  const rest = await restServer(t);
  const args = ['publish', 'chat:a', '--server', rest.url];
  const child = spawn(binary, args, { cwd: folder(t), stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (data) => { out += data; });
  child.stdin.write('one\n');
  await until(() => out === '1 e:1\n', 'the first position');
  rest.sockets.forEach((socket) => socket.destroy());
  await new Promise((done) => setTimeout(done, 100));
  child.stdin.end('two\n');
  assert.equal(await new Promise((done) => child.on('close', done)), 0);
  assert.equal(out, '1 e:1\n2 e:1\n');
});

test('watch prints new publications, from a position, from the beginning, as lines and as JSON', async (t) => {
  const rest = await restServer(t);
  rest.publications.push({ offset: 1, time: 1, data: 'a' }, { offset: 2, time: 1, key: 'k', data: { x: 0.1 } });
  const watch = (...more) => start(t, ['watch', 'chat:lobby', '--server', rest.url, ...more], { cwd: folder(t) });
  const fresh = watch(), since = watch('--since', 'e:1:1'), begin = watch('--since', 'begin'), json = watch('--since', 'e:1:1', '--json');
  await until(() => since.stdout && begin.stdout && json.stdout, 'first lines');
  await until(() => rest.requests.length >= 6, 'polls');
  rest.publications.push({ offset: 3, time: 2, data: 'new' });
  await until(() => [fresh, since, begin].every((run) => run.stdout.endsWith('3 - "new"\n')), 'the new publication');
  assert.equal(fresh.stdout, '3 - "new"\n');
  assert.equal(since.stdout, '2 k {"x":0.1}\n3 - "new"\n');
  assert.equal(begin.stdout, '1 - "a"\n2 k {"x":0.1}\n3 - "new"\n');
  assert.match(json.stdout, /^\{"offset":2,"time":1,"key":"k","data":\{"x":0\.1\}\}\n/);
});

test('watch comes back by itself and goes on after the last line', async (t) => {
  const port = await freePort();
  const first = await restServer(t, port);
  first.publications.push({ offset: 1, time: 1, data: 'one' });
  const run = start(t, ['watch', 'chat:a', '--server', first.url, '--since', 'begin'], { cwd: folder(t) });
  await until(() => run.stdout === '1 - "one"\n', 'the first line');
  await first.stop();
  await until(() => /trying again/.test(run.stderr), 'the complaint');
  const second = await restServer(t, port);
  second.publications.push(...first.publications, { offset: 2, time: 2, data: 'two' });
  await until(() => run.stdout === '1 - "one"\n2 - "two"\n', 'the second line');
  assert.equal(run.stderr.match(/trying again/g).length, 1);
});

test('watch ends with 1 when it is refused and with 69 when there is no server', async (t) => {
  const rest = await restServer(t);
  const dir = folder(t, { 'config.toml': 'not TOML' }); // of no interest with --server
  const refused = await crier(t, ['watch', 'secret:a', '--server', rest.url], { cwd: dir });
  assert.equal(refused.code, 1);
  assert.equal(refused.stderr, 'crier watch: HTTP status 403: permission denied\n');
  const away = await crier(t, ['watch', 'chat:a', '--server', `http://127.0.0.1:${await freePort()}`], { cwd: folder(t) });
  assert.equal(away.code, 69);
});
