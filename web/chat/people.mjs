/** Who is in a room: from the answer of presence, kept up to date by join and leave. */
import { h } from '/lib/dom.mjs';
import { hue, initial } from './text.mjs';

const SHOWN_MAX = 100;

export class People extends EventTarget {
  #sessions = new Map(); // session -> name
  available = false;

  set(list) {
    this.available = true;
    this.#sessions = new Map(list.map((member) => [member.session, this.#nameOf(member)]));
    this.#changed();
  }

  join(member) {
    this.#sessions.set(member.session, this.#nameOf(member));
    this.#changed();
  }

  leave({ session }) {
    if (this.#sessions.delete(session)) this.#changed();
  }

  get count() {
    return this.#sessions.size;
  }

  /** List items: one a name, with the number of windows where there are several. */
  render(ownName) {
    const counts = new Map();
    for (const name of this.#sessions.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
    const names = [...counts.keys()].sort((a, b) => a.localeCompare(b));
    const items = names.slice(0, SHOWN_MAX).map((name) => this.#item(name, counts.get(name), name === ownName));
    if (names.length > SHOWN_MAX) items.push(h('li', { class: 'more' }, `and ${names.length - SHOWN_MAX} more`));
    return items;
  }

  #item(name, windows, own) {
    return h(
      'li',
      {},
      h('span', { class: `avatar hue-${hue(name)}`, 'aria-hidden': 'true' }, initial(name)),
      h('bdi', { class: 'person' }, name),
      own ? h('span', { class: 'muted' }, '(you)') : null,
      windows > 1 ? h('span', { class: 'muted', title: `${windows} windows` }, `×${windows}`) : null,
    );
  }

  #nameOf({ session, user, name }) {
    return name || user || `guest ${String(session).slice(0, 4)}`;
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
