// crier-hfp on the command line, and over HTTP into a channel of crier.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { buildDir, freePort, sleep, startCrier, until } from '../lib/crier.mjs';
import { missing, recordingLine, runTool, startTool, sums, writeRecording } from '../lib/hfp.mjs';

const skip = missing ?? false;

const config = (more = {}) => ({
  server: { drain_ms: 200, ...more },
  bridge: [{ name: 'log', driver: 'embedded', servers: 'data/log.db' }],
  namespace: [{ name: 'hfp', history: 10000 }],
  source: [{ bridge: 'log', topic: 'hfp', channel: 'hfp:feed', from: 'history' }],
  sink: [{ channel: 'hfp:*', bridge: 'log', topic: 'hfp' }],
});

const target = (server) => ['--to', server.url, '--api-key-file', join(server.dir, 'api.key')];

async function history(server, limit = -1) {
  return (await server.api('history', { channel: 'hfp:feed', limit })).publications;
}

test('the command line says what is wrong with it', { skip }, async (t) => {
  const wrong = [
    [[], /a command is missing/],
    [['drive'], /drive: no command of this name/],
    [['simulate', 'file'], /file: a simulation reads no files/],
    [['replay'], /FILE is missing/],
    [['simulate', '--speed', '2'], /speed: belongs to the other command/],
    [['simulate', '--vehicles', '0'], /vehicles: '0' is not between 1 and 100000/],
    [['simulate', '--vehicles', 'many'], /vehicles: 'many' is not/],
    [['simulate', '--duration', '3 weeks'], /duration: '3 weeks' is not/],
    [['simulate', '--to', 'ftp://127.0.0.1:21'], /neither mqtt:\/\/HOST:PORT nor http:\/\/HOST:PORT/],
    [['simulate', '--to', 'http://127.0.0.1'], /is no address/],
    [['simulate', '--nothing'], /unrecognized option '--nothing'/],
  ];
  for (const [args, message] of wrong) {
    const { code, output } = await runTool(t, ...args);
    assert.equal(code, 64, args.join(' '));
    assert.match(output, message);
  }
  const help = await runTool(t, 'simulate', '--help');
  assert.equal(help.code, 0);
  assert.match(help.output, /crier-hfp simulate.*--vehicles N.*crier-hfp replay FILE.*Exit codes/s);
  assert.match((await runTool(t, '--version')).output, /^crier-hfp \d+\.\d+\.\d+\n$/);
});

test('files that are not there, and servers that never were, have exit codes', { skip }, async (t) => {
  const port = await freePort();
  const away = ['--to', `http://127.0.0.1:${port}`];
  const file = await runTool(t, 'replay', '/nonexistent/recording', ...away);
  assert.equal(file.code, 66);
  assert.match(file.output, /\/nonexistent\/recording: No such file/);
  assert.equal((await runTool(t, 'simulate', ...away, '--api-key-file', '/nonexistent/key')).code, 66);
  const simulation = await runTool(t, 'simulate', '--vehicles', '10', '--duration', '1s', ...away);
  assert.equal(simulation.code, 69);
  assert.match(simulation.output, /the server is away \(Connection refused\); trying again/);
  const { messages, taken, lost } = sums(simulation.output);
  assert.ok(messages >= 10 && taken === 0 && lost === messages, simulation.output);
});

test('a replay over HTTP keeps order, topics and keys', { skip }, async (t) => {
  const server = await startCrier({ t, config: config() });
  const { code, output } = await runTool(t, 'replay', writeRecording(t, 3000), '--speed', '0', ...target(server));
  assert.equal(code, 0, output);
  assert.deepEqual(sums(output), { messages: 3000, positions: 3000, taken: 3000, lost: 0, refused: 0 });
  const got = await until(async () => {
    const publications = await history(server);
    return publications.length >= 3000 && publications;
  }, 'all publications');
  assert.equal(got.length, 3000);
  got.forEach((publication, n) => {
    const line = recordingLine(n);
    assert.equal(publication.key, '0018.01029');
    assert.deepEqual(publication.data, JSON.parse(line.payload));
    assert.equal(publication.tags.topic, line.topic);
  });
});

test('lines without time, topic and payload are left out and named', { skip }, async (t) => {
  const server = await startCrier({ t, config: config() });
  const file = writeRecording(t, 6, (lines) => [lines[0], '', 'nonsense', lines[1], '2024-02-13T16:33:00Z /hfp/only', '12:00 /hfp/x {}',
    lines[2], '2024-02-13T16:33:00Z /hfp/v9/x not{json', ...lines.slice(3)]);
  const { code, output } = await runTool(t, 'replay', file, '--speed', '0', ...target(server));
  assert.equal(code, 0, output);
  assert.match(output, /recording\.dump:2: no time, topic and payload; left out/);
  assert.match(output, /recording\.dump: 4 lines left out/);
  /* What is no JSON goes as it is: judging it is the server's business. */
  assert.equal(sums(output).messages, 7);
});

test('what the server does not take is refused, and what follows is sent', { skip }, async (t) => {
  const server = await startCrier({ t, config: config() });
  const file = writeRecording(t, 4, (lines) => [lines[0], Buffer.from('2024-02-13T16:33:00Z /hfp/\xff {}', 'latin1'), ...lines.slice(1)]);
  const { code, output } = await runTool(t, 'replay', file, '--speed', '0', ...target(server));
  assert.equal(code, 0, output);
  assert.equal(sums(output).taken, 4);
  assert.equal(sums(output).refused, 1);
  const nowhere = await runTool(t, 'replay', file, '--speed', '0', '--channel', 'nowhere:at-all', ...target(server));
  assert.equal(nowhere.code, 0, nowhere.output);
  assert.equal(sums(nowhere.output).refused, 5);
  assert.equal((await history(server)).length, 4);
});

test('an empty recording is done at once', { skip }, async (t) => {
  const { code, output } = await runTool(t, 'replay', writeRecording(t, 0), '--to', `http://127.0.0.1:${await freePort()}`);
  assert.equal(code, 0, output);
});

test('a simulation over HTTP reaches the channel', { skip }, async (t) => {
  const server = await startCrier({ t, config: config() });
  const { code, output } = await runTool(t, 'simulate', '--vehicles', '100', '--duration', '2s', ...target(server));
  assert.equal(code, 0, output);
  const said = sums(output);
  assert.equal(said.positions, 200);
  assert.equal(said.taken, said.messages);
  const got = await until(async () => {
    const publications = await history(server);
    return publications.length >= said.messages && publications;
  }, 'all publications');
  assert.equal(got.length, said.messages);
  assert.ok(got.every(({ key, tags }) => tags.topic.includes(`/${key.replace('.', '/')}`)));
});

test('a replay waits for a server that is away, and leaves nothing out', { skip }, async (t) => {
  const port = await freePort();
  const server = await startCrier({ t, config: config({ listen: `127.0.0.1:${port}` }) });
  const tool = startTool(t, 'replay', writeRecording(t, 400), '--speed', '200', ...target(server));
  await until(async () => (await history(server)).length > 50, 'a part');
  await server.kill();
  await until(() => /the server is away/.test(tool.output()), 'word of it');
  await server.start();
  assert.equal((await tool.ended).code, 0, tool.output());
  assert.match(tool.output(), /the server is back/);
  const seen = (await history(server)).map(({ data }) => data.VP.odo);
  assert.deepEqual([...new Set(seen)], Array.from({ length: 400 }, (_, n) => n));
});

test('a wrong API key ends it at once', { skip }, async (t) => {
  const server = await startCrier({ t, config: config() });
  const key = join(server.dir, 'wrong.key');
  writeFileSync(key, 'another\n');
  const { code, output } = await runTool(t, 'simulate', '--to', server.url, '--api-key-file', key);
  assert.equal(code, 77);
  assert.match(output, /does not accept the API key/);
});

test('with --with-parent it does not outlive who started it, SIGKILL or not', { skip }, async (t) => {
  const shell = spawn('sh', ['-c', `"${join(buildDir, 'crier-hfp')}" simulate --vehicles 1 --with-parent & echo $!; wait`],
    { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => shell.kill('SIGKILL'));
  const pid = await new Promise((done) => shell.stdout.once('data', (data) => done(Number(data))));
  await sleep(300);
  const running = () => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  assert.ok(running());
  shell.kill('SIGKILL');
  await until(() => !running(), 'its end');
});
