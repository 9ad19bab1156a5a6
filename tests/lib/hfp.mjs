// The tool crier-hfp as a child process, and a small recording in the form of the real feed.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildDir } from './crier.mjs';

const binary = join(buildDir, 'crier-hfp');

/** Reason to skip, or undefined. */
export const missing = existsSync(binary) ? undefined : 'crier-hfp was not built (Debian package libpaho-mqtt-dev)';

/** {child, output(): string, ended: Promise<{code, signal}>}; the child is killed when the test is over. */
export function startTool(t, ...args) {
  const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (data) => { text += data; });
  child.stderr.on('data', (data) => { text += data; });
  const ended = new Promise((done) => child.on('close', (code, signal) => done({ code, signal })));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, output: () => text, ended };
}

/** Runs the tool to its end: {code, output}. */
export async function runTool(t, ...args) {
  const tool = startTool(t, ...args);
  tool.child.stdin.end();
  return { code: (await tool.ended).code, output: tool.output() };
}

/** {messages, positions, taken, lost, refused} of the tool's last line. */
export function sums(output) {
  const found = /(\d+) messages \((\d+) positions\) in [\d.]+ s; (\d+) taken, (\d+) lost, (\d+) refused\n$/.exec(output);
  if (!found) throw new Error(`no sums in: ${output}`);
  const [messages, positions, taken, lost, refused] = found.slice(1).map(Number);
  return { messages, positions, taken, lost, refused };
}

const two = (n) => String(n).padStart(2, '0');

/** Line n of a made-up recording, one a second: a bus to the north with a name that has spaces, a deadrun every tenth. */
export function recordingLine(n) {
  const time = `2024-02-13T16:${two(Math.floor(n / 60) % 60)}:${two(n % 60)}`;
  const deadrun = n % 10 === 9;
  const latitude = (60.15 + n * 0.0001).toFixed(6);
  const topic = deadrun ? '/hfp/v2/deadrun/ongoing/vp/bus/0018/01029'
    : `/hfp/v2/journey/ongoing/vp/bus/0018/01029/1004 4/1/Itäkeskus (M)/17:35/4150208/5/60;24/19/54/${two(n % 100)}`;
  const payload = { VP: { desi: deadrun ? null : '4', veh: 1029, tst: `${time}.931Z`, spd: 7.5, hdg: 0, lat: Number(latitude),
    long: 24.9439, drst: 0, odo: n, loc: 'GPS' } };
  return { time: `${time}.990271Z`, topic, payload: JSON.stringify(payload) };
}

/** Writes a file of `count` such lines for the time of the test; `edit` may change the lines, also to bytes. */
export function writeRecording(t, count, edit = (lines) => lines) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-hfp-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const lines = Array.from({ length: count }, (_, n) => recordingLine(n)).map((l) => `${l.time} ${l.topic} ${l.payload}`);
  const path = join(dir, 'recording.dump');
  writeFileSync(path, Buffer.concat(edit(lines).flatMap((line) => [Buffer.from(line), Buffer.from('\n')])));
  return path;
}
