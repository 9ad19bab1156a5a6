/** The messages of one room, as a list in the page: those of the log in its order, then one's own on their way. */
import { h } from '/lib/dom.mjs';
import { dayKey, dayText, hue, initial, parseTime, richText, timeElement } from './text.mjs';

const MESSAGES_MAX = 1_000;
const GROUP_MS = 5 * 60_000;

const STATE_TEXT = {
  waiting: 'Waiting',
  sending: 'Sending …',
  retrying: 'Trying again soon',
  failed: 'Not sent',
  sent: 'Sent',
};

export class RoomLog {
  #last = null; // {sender, own, time, day} of the newest message in the log
  #pending = new Map(); // id -> element
  #sentIds = new Set(); // acknowledged, not yet seen in the log

  /** @param {{onRetry: (id: string) => void, onEdit: (id: string) => void, onDiscard: (id: string) => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = h('ol', { class: 'messages' });
    this.pendingElement = h('ol', { class: 'messages pending', 'aria-label': 'Your messages on their way', 'aria-live': 'off' });
    this.empty = h('p', { class: 'empty' }, 'Nothing here yet. Say hello.');
    this.root = h('div', { class: 'room-log' }, this.empty, this.element, this.pendingElement);
  }

  /** Forgets the log; messages on their way stay. */
  clear() {
    this.element.replaceChildren();
    this.#last = null;
  }

  /** A publication: {message, sender, timestamp}, with `own` and its offset. */
  addMessage({ message, sender, timestamp }, { own, offset }) {
    const time = parseTime(timestamp);
    const name = String(sender ?? '') || 'somebody';
    this.#addDay(time);
    const follows = this.#follows(name, own, time);
    const mark = own ? h('span', { class: 'mark sent', title: `Stored in the log at offset ${offset}` }, '✓', h('span', { class: 'visually-hidden' }, ' sent')) : null;
    this.element.append(this.#item({ name, own, follows, body: richText(String(message ?? '')), time, mark }));
    this.#last = { name, own, time };
    this.#trim();
    this.empty.hidden = true;
  }

  /** A line of the page itself, e.g. about missing messages. */
  addNote(text) {
    this.element.append(h('li', { class: 'note' }, text));
    this.#last = this.#last && { ...this.#last, name: null };
    this.empty.hidden = true;
  }

  /** One's own message on its way, or a change of its state. */
  showPending(entry, problem = entry.problem) {
    const item = this.#item({
      name: '',
      own: true,
      follows: true,
      body: richText(entry.payload.message),
      time: new Date(entry.createdMs),
      mark: this.#pendingMark(entry, problem),
    });
    item.classList.add(entry.state);
    item.dataset.id = entry.id;
    const old = this.#pending.get(entry.id);
    if (old) old.replaceWith(item);
    else this.pendingElement.append(item);
    this.#pending.set(entry.id, item);
    this.empty.hidden = true;
  }

  /** It is acknowledged; the mark stays until it comes back by the log. */
  showSent(entry, offset) {
    if (!this.#pending.has(entry.id)) return;
    this.#sentIds.add(entry.id);
    this.showPending({ ...entry, state: 'sent', problem: '' }, '');
    this.#pending.get(entry.id).querySelector('.mark').title = `Stored in the log at offset ${offset}`;
  }

  /** It is in the log now, or was discarded. */
  removePending(id) {
    this.#pending.get(id)?.remove();
    this.#pending.delete(id);
    this.#sentIds.delete(id);
  }

  /** Acknowledged messages that a fresh history has replaced. */
  removeSent() {
    for (const id of [...this.#sentIds]) this.removePending(id);
  }

  #addDay(time) {
    if (!time || (this.#last && dayKey(this.#last.time) === dayKey(time))) return;
    this.element.append(h('li', { class: 'day' }, h('span', {}, dayText(time))));
    this.#last = null;
  }

  #follows(name, own, time) {
    const last = this.#last;
    return Boolean(last && last.name === name && last.own === own && time && last.time && time - last.time < GROUP_MS);
  }

  #item({ name, own, follows, body, time, mark }) {
    const who = own || follows
      ? h('span', { class: 'visually-hidden' }, `${own ? 'You' : name}: `)
      : h('span', { class: 'sender' }, h('bdi', {}, name));
    const avatar = own ? null : h('span', { class: `avatar hue-${hue(name)}`, 'aria-hidden': 'true' }, follows ? '' : initial(name));
    return h(
      'li',
      { class: `message${own ? ' own' : ''}${follows ? ' follows' : ''}` },
      avatar,
      h('div', { class: 'bubble' }, who, h('p', { class: 'body', dir: 'auto' }, ...body), h('span', { class: 'meta' }, timeElement(time), mark)),
    );
  }

  #pendingMark(entry, problem) {
    const text = entry.state === 'failed' ? `${STATE_TEXT.failed}: ${problem}` : STATE_TEXT[entry.state];
    const mark = h('span', { class: `mark ${entry.state}`, title: problem || null }, entry.state === 'sent' ? '✓ ' : '', text);
    if (entry.state === 'failed') {
      mark.append(
        ' ',
        h('button', { type: 'button', class: 'link', onclick: () => this.actions.onRetry(entry.id) }, 'Try again'),
        ' ',
        h('button', { type: 'button', class: 'link', onclick: () => this.actions.onEdit(entry.id) }, 'Edit'),
        ' ',
        h('button', { type: 'button', class: 'link', onclick: () => this.actions.onDiscard(entry.id) }, 'Discard'),
      );
    }
    return mark;
  }

  #trim() {
    while (this.element.childElementCount > MESSAGES_MAX) this.element.firstElementChild.remove();
  }
}
