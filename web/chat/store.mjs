/** What the page remembers: in localStorage, or in memory where that is forbidden. */
import { randomId } from '/lib/outbox.mjs';

const PREFIX = 'crier-chat.';
const OWN_IDS_MAX = 500;
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

function read(key, fallback) {
  try {
    return JSON.parse(storage.getItem(PREFIX + key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(key, value) {
  try {
    storage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Full: what is shown stays right, only a reload forgets it.
  }
}

function idIn(where, key) {
  let id = where.getItem(PREFIX + key);
  if (!ROOM_PATTERN.test(id ?? '')) where.setItem(PREFIX + key, (id = randomId()));
  return id;
}

/** This browser, for the server to recognise a message that is sent again. */
export const clientId = idIn(storage, 'client');
/** This tab; survives a reload. */
export const tabId = idIn(tabStorage, 'tab');

export const name = {
  get: () => String(read('name', '')),
  isSet: () => read('name', null) !== null,
  set: (value) => write('name', value),
};

export const rooms = {
  get: () => read('rooms', []).filter((room) => ROOM_PATTERN.test(room)),
  set: (list) => write('rooms', list),
};

/** Ids of messages sent from this browser, so that they are recognised as one's own after a reload. */
export const ownIds = {
  has: (id) => id !== undefined && read('own', []).includes(id),
  add: (id) => write('own', [...read('own', []), id].slice(-OWN_IDS_MAX)),
};
