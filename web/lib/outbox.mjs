import { Backoff } from './backoff.mjs';

const BEAT_MS = 5_000;
const ORPHAN_MS = 30_000;

/** A random id that also works where crypto.randomUUID() is missing (plain http to another host). */
export function randomId(bytes = 12) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, '0')).join('');
}

/**
 * Messages on their way: kept in `storage` until they are acknowledged, sent one after the other within a group, tried
 * again after temporary errors. Each has an id that stays the same over attempts, so that the server recognises a
 * repeated one.
 *
 * A page's messages live under `${prefix}.${tab}` with the time of its last sign of life; those of a tab that has gone
 * are adopted by the next one.
 *
 * Events (CustomEvent): `change` {entry} after each change of state; `sent` {entry, result} and then forgotten.
 * Entries: {id, group, payload, createdMs, state, problem}; state is waiting, sending, retrying or failed.
 */
export class Outbox extends EventTarget {
  #send;
  #isReady;
  #storage;
  #prefix;
  #key;
  #backoff;
  #timer = null;
  #beat = null;
  #busy = new Set();

  /**
   * @param {object} options
   * @param {(entry: object) => Promise<object>} options.send
   * @param {(group: string) => boolean} options.isReady whether messages of this group may go out now
   * @param {Storage} options.storage
   * @param {string} options.prefix
   * @param {string} options.tab
   */
  constructor({ send, isReady, storage, prefix, tab, backoff = new Backoff({ baseMs: 2_000, capMs: 20_000 }) }) {
    super();
    this.#send = send;
    this.#isReady = isReady;
    this.#storage = storage;
    this.#prefix = `${prefix}.`;
    this.#key = this.#prefix + tab;
    this.#backoff = backoff;
    this.entries = this.#adopt();
    this.#beat = setInterval(() => this.entries.length > 0 && this.#save(), BEAT_MS);
    this.#beat.unref?.();
    this.#save();
  }

  add(group, payload) {
    const entry = { id: randomId(), group, payload, createdMs: Date.now(), state: 'waiting', problem: '' };
    this.entries.push(entry);
    this.#save();
    this.#emit('change', { entry });
    this.pump();
    return entry;
  }

  /** The message with this id was seen in the log: whatever became of its acknowledgement, it is there. */
  confirm(id, result) {
    const entry = this.entries.find((e) => e.id === id);
    if (entry) this.#done(entry, result);
  }

  retry(id) {
    const entry = this.entries.find((e) => e.id === id && e.state === 'failed');
    if (!entry) return;
    this.#set(entry, 'waiting');
    this.pump();
  }

  discard(id) {
    this.entries = this.entries.filter((e) => e.id !== id);
    this.#save();
    this.pump();
  }

  /** Sends what can be sent; call it when a group became ready. */
  pump() {
    const blocked = new Set(this.#busy);
    for (const entry of [...this.entries]) {
      if (entry.state === 'failed' || blocked.has(entry.group)) continue;
      blocked.add(entry.group);
      if (entry.state !== 'retrying' && this.#isReady(entry.group)) this.#attempt(entry);
    }
  }

  async #attempt(entry) {
    this.#busy.add(entry.group);
    this.#set(entry, 'sending');
    try {
      const result = await this.#send(entry);
      this.#backoff.reset();
      this.#done(entry, result);
    } catch (error) {
      if (this.entries.includes(entry)) this.#onError(entry, error);
      if (error.disconnected) return void this.#busy.delete(entry.group); // pump() is called when it is back
    }
    this.#busy.delete(entry.group);
    this.pump();
  }

  #onError(entry, error) {
    if (error.disconnected) return this.#set(entry, 'waiting');
    if (!error.temporary) return this.#set(entry, 'failed', error.message);
    this.#set(entry, 'retrying', error.message);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wakeAll(), this.#backoff.baseMs / 2 + this.#backoff.next());
  }

  #wakeAll() {
    for (const entry of this.entries) if (entry.state === 'retrying') this.#set(entry, 'waiting', entry.problem);
    this.pump();
  }

  #done(entry, result) {
    if (!this.entries.includes(entry)) return;
    this.entries = this.entries.filter((e) => e !== entry);
    this.#save();
    this.#emit('sent', { entry, result });
  }

  #set(entry, state, problem = '') {
    entry.state = state;
    entry.problem = problem;
    this.#save();
    this.#emit('change', { entry });
  }

  /** What this tab left behind before a reload, and what tabs that are gone left behind. */
  #adopt() {
    const found = [];
    for (const key of this.#keys()) {
      const { aliveMs, entries } = this.#read(key);
      if (key !== this.#key && Date.now() - aliveMs < ORPHAN_MS) continue;
      found.push(...entries);
      this.#storage.removeItem(key);
    }
    for (const entry of found) if (entry.state !== 'failed') entry.state = 'waiting';
    return found.sort((a, b) => a.createdMs - b.createdMs);
  }

  #keys() {
    return Array.from({ length: this.#storage.length }, (_, i) => this.#storage.key(i)).filter((k) => k.startsWith(this.#prefix));
  }

  #read(key) {
    try {
      const { aliveMs, entries } = JSON.parse(this.#storage.getItem(key));
      return { aliveMs, entries: entries.filter((e) => e.id && e.group && e.payload) };
    } catch {
      return { aliveMs: 0, entries: [] };
    }
  }

  #save() {
    try {
      if (this.entries.length === 0) this.#storage.removeItem(this.#key);
      else this.#storage.setItem(this.#key, JSON.stringify({ aliveMs: Date.now(), entries: this.entries }));
    } catch {
      // Full or forbidden: the messages stay in memory and are lost only when the page is closed.
    }
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
