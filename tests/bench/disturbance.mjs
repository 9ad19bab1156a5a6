// How much of the two cores other processes took during a run: such a run says little and is repeated.
import { readFileSync } from 'node:fs';
import { Program, sleep } from './programs.mjs';

// The kernel's own threads and the runner's noise stay below this.
export const QUIET_CORES = 0.1;

const TICKS_PER_SECOND = 100; // USER_HZ, the unit of /proc

const fields = (pid) => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
};

function processTicks(pid, withChildren) {
  try {
    return fields(pid).slice(11, withChildren ? 15 : 13).reduce((a, b) => a + b);
  } catch {
    return 0; // ended: it is among the waited-for children now
  }
}

// What this process and the programs it started, running or ended, have used; brokers are named by `pids`.
const ownTicks = (pids) => processTicks('self', true) +
  [...[...Program.running].map((p) => p.pid), ...pids].reduce((sum, pid) => sum + processTicks(pid), 0);

// user, nice, system, irq, softirq, steal: what was not idle, on all cores, by us, by others or by the host.
function busyTicks() {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).map(Number);
  return ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
}

// Cores that others used while `run` ran.
export async function disturbance(run, pids = []) {
  const start = { at: performance.now(), busy: busyTicks(), own: ownTicks(pids) };
  const result = await run();
  const seconds = (performance.now() - start.at) / 1000;
  const others = (busyTicks() - start.busy - (ownTicks(pids) - start.own)) / TICKS_PER_SECOND / seconds;
  return { result, others: Math.max(0, others) };
}

// Waits until others have stopped, as long as `patience` (seconds, for the whole run of the benchmark) lasts.
export async function waitForQuiet(patience, pids) {
  while (patience.seconds > 0) {
    if ((await disturbance(() => sleep(1), pids)).others <= QUIET_CORES)
      return;
    patience.seconds -= 1;
  }
}
