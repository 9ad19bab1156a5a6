// Worker of fault/channels-kill: some clients of the library on one channel, cut at random, which check what they get as it
// comes. workerData: {wsUrl, channel, clients, seed}. Sends {ready}, takes {written: [last n of each lane]} when the writers
// have ended, and sends the result: {problems, resumes, unrecovered, offsets: digest of what came where}.
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { channelsClient } from './channels.mjs';
import { sleep, slowness } from './crier.mjs';
import { randomFrom } from './journal.mjs';

const { wsUrl, channel, clients, seed } = workerData;
const offsets = new Map(); // `lane.n` -> where the first client got it
const problems = [];
let received = 0;

/** A client whose publications [lane, n] have to come each once, those of a lane in order, at rising offsets. */
async function reader(name) {
  const client = await channelsClient(null, { wsUrl }, { timeout: 10000, maxReconnectDelay: 500 });
  const sub = client.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 500 });
  const r = { client, sub, lanes: [], offset: 0, resumes: 0, unrecovered: 0 };
  sub.on('publication', ({ offset, data: [lane, n] }) => {
    const before = r.lanes[lane] ?? 0, id = `${lane}.${n}`;
    if (!offsets.has(id)) offsets.set(id, offset);
    if (n !== before + 1) problems.push(`client ${name}: ${id} at ${offset} after ${lane}.${before}`);
    if (offset <= r.offset) problems.push(`client ${name}: ${id} at ${offset} after offset ${r.offset}`);
    if (offset !== offsets.get(id)) problems.push(`client ${name}: ${id} at ${offset}, at ${offsets.get(id)} for another`);
    [r.lanes[lane], r.offset] = [n, offset];
    received++;
  });
  sub.on('subscribed', ({ wasRecovering, recovered }) => {
    r.resumes += wasRecovering;
    r.unrecovered += wasRecovering && !recovered;
  });
  sub.subscribe();
  await sub.ready(10000 * slowness);
  return r;
}

const readers = [];
for (let i = 0; i < clients; i += 50)
  readers.push(...await Promise.all(Array.from({ length: Math.min(50, clients - i) }, (_, k) => reader(i + k))));

let written;
parentPort.on('message', (message) => { written = message.written; });
parentPort.postMessage({ ready: true });

const random = randomFrom(seed);
while (!written) {
  const { client } = readers[Math.floor(random() * readers.length)];
  if (random() < 0.5) client._transport?.close();
  else {
    client.disconnect();
    client.connect();
  }
  await sleep(20);
}

// However long that takes, something has to come all the time.
const missing = (r) => written.some((n, lane) => (r.lanes[lane] ?? 0) < n);
let [count, since] = [-1, Date.now()];
while (readers.some(missing) && Date.now() - since < 20000 * slowness) {
  if (received !== count) [count, since] = [received, Date.now()];
  await sleep(50);
}
const behind = readers.filter(missing);
if (behind.length) problems.push(`${behind.length} of ${readers.length} clients have not got all, and nothing comes: ${behind[0].lanes} of ${written}, ${behind[0].sub.state}`);
await sleep(200); // what came twice would come now
const sum = (key) => readers.reduce((all, r) => all + r[key], 0);
const places = written.map((last, lane) => Array.from({ length: last }, (_, i) => offsets.get(`${lane}.${i + 1}`)));
parentPort.postMessage({ problems: problems.slice(0, 20), resumes: sum('resumes'), unrecovered: sum('unrecovered'),
  offsets: createHash('sha256').update(JSON.stringify(places)).digest('hex') });
readers.forEach((r) => r.client.disconnect());
parentPort.close();
