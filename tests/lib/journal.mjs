// Writers and readers that survive any fault, and the check afterwards: every acknowledged publication is in the channel
// exactly once, where the acknowledgement said, and each reader got every publication once and in order.
import assert from 'node:assert/strict';
import { sleep } from './crier.mjs';
import { TYPE, TypedClient } from './typed.mjs';

/** Small generator with a seed, so that a run can be repeated. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
}

/** Connects until it works or `stopped()`. */
async function connect(server, stopped, path = '/ws') {
  for (let delay = 20; !stopped(); delay = Math.min(delay * 2, 500)) {
    const client = new TypedClient(server.wsUrl, { path });
    try {
      await client.opened;
      return client;
    } catch {
      client.terminate();
      await sleep(delay / 2 + (Math.random() * delay) / 2);
    }
  }
  return undefined;
}

/** Publishes {w, n} with rising n, each with a message id, and repeats what was not acknowledged. */
export class Writer {
  constructor(server, channel, name) {
    Object.assign(this, { server, channel, name, acknowledged: [], stopping: false, unknown: 0 });
    this.done = this.run();
  }

  async run() {
    let client;
    for (let n = 1; !this.stopping; n++) {
      for (let done = false; !done;) {
        client ??= await connect(this.server, () => this.stopping, `/ws?client=${this.name}`);
        if (!client) return;
        try {
          client.send(TYPE.publish, { channel: this.channel, data: { w: this.name, n } }, `${this.name}-${n}`);
          const { type, payload } = await client.next((m) => m.id === `${this.name}-${n}`, 'an answer', 15000);
          if (type === TYPE.ok) {
            this.acknowledged.push({ n, ...payload.ok });
            done = true;
          } else {
            if (payload.error.code === 120) this.unknown++;
            if (this.stopping) return;
            await sleep(50);
          }
        } catch {
          client.terminate();
          client = undefined;
          if (this.stopping) return;
        }
      }
    }
    client?.terminate();
  }

  async stop() {
    this.stopping = true;
    await this.done;
  }
}

/** Subscribes, keeps its position, and resumes from it after every loss of the connection. */
export class Reader {
  constructor(server, channel) {
    Object.assign(this, { server, channel, seen: [], position: undefined, resumes: 0, lost: 0, stopping: false });
    this.done = this.run();
  }

  take(message) {
    if (message.channel !== this.channel) return false;
    this.seen.push({ offset: message.offset, ...message.payload });
    this.position.offset = message.offset;
    return true;
  }

  async run() {
    while (!this.stopping) {
      this.client = await connect(this.server, () => this.stopping);
      if (!this.client) return;
      this.client.onMessage = (m) => this.position && this.take(m);
      const resumed = this.position;
      try {
        const early = [];
        if (!resumed) this.client.onMessage = (m) => m.channel === this.channel && early.push(m) > 0;
        const answer = await this.client.subscribe(this.channel, resumed ?? {});
        if (resumed) this.resumes++;
        if (resumed && !answer.recovered) this.lost++;
        if (!resumed) {
          this.position = { epoch: answer.epoch, offset: answer.offset };
          this.client.onMessage = (m) => this.take(m);
          early.forEach((m) => this.take(m));
        }
        await Promise.race([this.client.closed, this.client.next((m) => m.type === TYPE.unsubscribed, '', 1 << 30)]);
      } catch {
        await sleep(20);
      }
      this.client.terminate();
    }
  }

  drop() {
    this.client?.terminate();
  }

  async stop() {
    this.stopping = true;
    this.client?.terminate();
    await this.done;
  }
}

/** `stored`: what the channel holds at the end, as {offset, w, n}; the oldest first. */
export function checkJournal({ writers, readers, stored, seed }) {
  const where = `(seed ${seed})`;
  const at = new Map();
  for (const p of stored) {
    const id = `${p.w}-${p.n}`;
    assert.ok(!at.has(id), `${id} is stored twice, at ${at.get(id)} and ${p.offset} ${where}`);
    at.set(id, p.offset);
  }
  for (const writer of writers) {
    for (const { n, offset } of writer.acknowledged) {
      const id = `${writer.name}-${n}`;
      assert.ok(at.has(id), `${id} was acknowledged and is gone ${where}`);
      assert.equal(at.get(id), offset, `${id} is not where the acknowledgement said ${where}`);
    }
    const order = stored.filter((p) => p.w === writer.name).map((p) => p.n);
    assert.deepEqual(order, [...order].sort((a, b) => a - b), `${writer.name} is out of order ${where}`);
  }
  for (const [i, reader] of readers.entries()) {
    assert.equal(reader.lost, 0, `reader ${i} could not resume ${where}`);
    const first = reader.seen[0]?.offset ?? Infinity;
    assert.deepEqual(reader.seen, stored.filter((p) => p.offset >= first), `reader ${i} ${where}`);
  }
}
