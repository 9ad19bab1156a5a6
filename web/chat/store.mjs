/**
 * What the page remembers: for the browser in localStorage, for the tab in sessionStorage (which survives a reload), in
 * memory where these are forbidden. Two windows of one browser are two people, so most belongs to the tab.
 */
import { randomId } from '/lib/outbox.mjs';

const PREFIX = 'crier-chat.';
const OWN_IDS_MAX = 500;
const CLAIM_MS = 500;
export const ROOM_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;

function memoryStorage() {
  const map = new Map();
  return {
    get length() {
      return map.size;
    },
    key: (i) => [...map.keys()][i] ?? null,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, String(value)),
    removeItem: (key) => void map.delete(key),
  };
}

function usable(name) {
  try {
    const storage = globalThis[name];
    storage.setItem(`${PREFIX}test`, '1');
    storage.removeItem(`${PREFIX}test`);
    return storage;
  } catch {
    return memoryStorage();
  }
}

export const storage = usable('localStorage');
const tabStorage = usable('sessionStorage');

function read(where, key, fallback) {
  try {
    return JSON.parse(where.getItem(PREFIX + key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(where, key, value) {
  try {
    where.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Full: what is shown stays right, only a reload forgets it.
  }
}

/** Holds a lock as long as the page lives; false when another page has it. A page that reloads lets go in between. */
function claim(id) {
  return new Promise((resolve) => {
    const held = () => (resolve(true), new Promise(() => {}));
    navigator.locks.request(PREFIX + id, { signal: AbortSignal.timeout(CLAIM_MS) }, held).catch(() => resolve(false));
  });
}

/** A duplicated tab comes with a copy of the other's storage, id included: then it needs one of its own. */
async function ownTabId() {
  const stored = read(tabStorage, 'tab', '');
  if (ROOM_PATTERN.test(stored) && (!navigator.locks || (await claim(stored)))) return stored;
  const id = randomId();
  write(tabStorage, 'tab', id);
  if (navigator.locks) await claim(id);
  return id;
}

/** Names this tab to the server, which recognises by it a message that is sent again. */
export const tabId = await ownTabId();

/** The name in this tab; a new one starts with the last that was used. */
export const name = {
  get: () => String(read(tabStorage, 'name', read(storage, 'name', ''))),
  isSet: () => read(storage, 'name', null) !== null,
  set: (value) => {
    write(tabStorage, 'name', value);
    write(storage, 'name', value);
  },
};

export const rooms = {
  get: () => read(storage, 'rooms', []).filter((room) => ROOM_PATTERN.test(room)),
  set: (list) => write(storage, 'rooms', list),
};

const own = new Set(read(tabStorage, 'own', []));

/** Ids of messages that this tab sent, so that they are recognised as its own after a reload. */
export const ownIds = {
  has: (id) => own.has(id),
  add: (id) => {
    if (own.has(id)) return;
    own.add(id);
    write(tabStorage, 'own', [...own].slice(-OWN_IDS_MAX));
  },
};
