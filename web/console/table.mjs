/** Publications as rows of a table: a stream with the newest on top, or a map with one row a key. */
import { h } from '/lib/dom.mjs';

const ROWS_MAX = 200;
const PAINT_MS = 100; // a map may change thousands of times a second
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

/** JSON in one line. */
const text = (value) => (value === undefined ? '' : JSON.stringify(value));

function from({ info, tags }) {
  const who = info && (info.user || info.conn_info?.name || info.client);
  return [who, tags && text(tags)].filter(Boolean).join(' ');
}

function row(publication, first) {
  const { offset, payload, missed, removed } = publication;
  return h(
    'tr',
    { class: missed ? 'missed' : null },
    h('td', { class: 'number' }, first),
    h('td', { class: 'number' }, first === offset ? timeFormat.format(publication.at) : (offset ?? '')),
    h('td', { class: 'data' }, removed ? '(removed)' : text(payload)),
    h('td', {}, from(publication)),
  );
}

function frame(label, columns, body, live) {
  const head = h('thead', {}, h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name))));
  return h('div', { class: 'scroll', role: 'region', 'aria-label': label, tabindex: '0', ...(live && { 'aria-live': 'polite' }) }, h('table', {}, head, body));
}

export class StreamTable {
  #body = h('tbody');

  constructor(channel) {
    this.element = frame(`Publications of ${channel}`, ['Offset', 'Came', 'Data', 'From, tags'], this.#body, true);
  }

  get count() {
    return this.#body.childElementCount;
  }

  clear() {
    this.#body.replaceChildren();
  }

  add(publication) {
    this.#body.prepend(row({ ...publication, at: new Date() }, publication.offset));
    while (this.#body.childElementCount > ROWS_MAX) this.#body.lastElementChild.remove();
  }
}

export class MapTable {
  #body = h('tbody');
  #newest = new Map();
  #rows = new Map();
  #changed = new Set();
  #timer = null;

  constructor(channel) {
    this.element = frame(`Keys of ${channel}`, ['Key', 'Offset', 'Data', 'From, tags'], this.#body, false);
    this.onPaint = () => {};
  }

  get count() {
    return this.#newest.size;
  }

  clear() {
    for (const key of this.#newest.keys()) this.#changed.add(key);
    this.#newest.clear();
    this.#schedule();
  }

  add(publication) {
    const { key = '', removed } = publication;
    if (removed) this.#newest.delete(key);
    else this.#newest.set(key, publication);
    this.#changed.add(key);
    this.#schedule();
  }

  #schedule() {
    this.#timer ??= setTimeout(() => this.#paint(), PAINT_MS);
  }

  #paint() {
    this.#timer = null;
    for (const key of this.#changed) this.#show(key);
    this.#changed.clear();
    this.onPaint();
  }

  /** Keys beyond the first ones are counted only. */
  #show(key) {
    const publication = this.#newest.get(key);
    const old = this.#rows.get(key);
    if (!publication) {
      old?.remove();
      this.#rows.delete(key);
    } else if (old || this.#rows.size < ROWS_MAX) {
      const fresh = row(publication, key);
      if (old) old.replaceWith(fresh);
      else this.#body.append(fresh);
      this.#rows.set(key, fresh);
    }
  }
}
