/** One subscription: where it is, what comes, and what can be done with its channel. */
import { h } from '/lib/dom.mjs';
import { attempt, readJson } from './form.mjs';
import { MapTable, StreamTable } from './table.mjs';

const STATES = { waiting: 'waiting for the connection', subscribing: 'subscribing …', subscribed: 'subscribed', failed: 'refused', closed: 'ended' };
let lastId = 0;

export class Card {
  #missedLeft = 0;

  /** @param {{client: object, channel: string, map: boolean, history: number, onClose: (card: Card) => void}} options */
  constructor({ client, channel, map, history, onClose }) {
    Object.assign(this, { client, channel, map, onClose });
    this.id = `card-${++lastId}`;
    this.table = map ? new MapTable(channel) : new StreamTable(channel);
    this.state = h('span', { class: 'muted', role: 'status' });
    this.news = h('span', { class: 'muted' });
    this.position = h('span', { class: 'position', title: 'epoch and offset of the newest publication seen' });
    this.recovery = h('p', { class: 'recovery', role: 'status', hidden: true });
    this.result = h('div', { role: 'status' });
    this.element = this.#build();
    this.subscription = client.subscribe(channel, { map, history });
    this.#listen();
    this.#showState(this.subscription.state, null);
  }

  close() {
    this.client.unsubscribe(this.channel);
    this.element.remove();
    this.onClose(this);
  }

  #build() {
    const heading = h('h2', { id: this.id }, this.channel);
    const leave = h('button', { type: 'button', onclick: () => this.close() }, 'Unsubscribe');
    if (this.map) this.table.onPaint = () => this.#showPosition();
    return h(
      'section',
      { class: 'card', 'aria-labelledby': this.id },
      h('header', {}, heading, h('span', { class: 'muted' }, this.map ? 'map' : 'stream'), this.state, this.position, this.news, leave),
      this.recovery,
      h('div', { class: 'tools' }, this.#publishForm(), this.#askForm()),
      this.result,
      this.table.element,
    );
  }

  #publishForm() {
    const problem = h('p', { class: 'problem', role: 'alert' });
    const key = h('input', { id: `${this.id}-key`, autocomplete: 'off', spellcheck: 'false', value: 'a' });
    const data = h('textarea', { id: `${this.id}-data`, rows: '2', spellcheck: 'false' }, '{"text": "hello"}');
    const options = () => (this.map ? { key: key.value } : {});
    const publish = (event) => {
      event.preventDefault();
      attempt(problem, () => this.client.publish(this.channel, readJson(data), options()));
    };
    const remove = () => attempt(problem, () => this.client.remove(this.channel, key.value));
    return h(
      'form',
      { novalidate: true, onsubmit: publish },
      this.map ? h('label', { for: key.id }, 'Key') : null,
      this.map ? key : null,
      h('label', { for: data.id }, 'Data (JSON)'),
      data,
      h(
        'div',
        { class: 'inline' },
        h('button', { type: 'submit' }, this.map ? 'Set' : 'Publish'),
        this.map ? h('button', { type: 'button', onclick: remove }, 'Remove') : null,
      ),
      problem,
    );
  }

  #askForm() {
    const problem = h('p', { class: 'problem', role: 'alert' });
    const limit = h('input', { id: `${this.id}-limit`, type: 'number', min: '1', max: '300', value: '20' });
    const ask = (show) => (event) => {
      event.preventDefault();
      attempt(problem, async () => this.result.replaceChildren(...(await show())));
    };
    return h(
      'form',
      { novalidate: true, onsubmit: ask(() => this.#history(Number(limit.value) || 20)) },
      h('label', { for: limit.id }, 'Ask'),
      h(
        'div',
        { class: 'inline' },
        h('button', { type: 'submit' }, 'History'),
        limit,
        h('button', { type: 'button', onclick: ask(() => this.#presence()) }, 'Presence'),
      ),
      problem,
    );
  }

  async #history(limit) {
    const { publications, epoch, offset } = await this.client.history(this.channel, { limit, reverse: true });
    const lines = publications.reverse().map(({ data, ...rest }) => JSON.stringify({ ...rest, data }));
    return [h('h3', {}, `History: ${publications.length} of the newest, the top is ${epoch} ${offset}`), h('pre', {}, lines.join('\n') || '(empty)')];
  }

  async #presence() {
    const people = await this.client.presence(this.channel);
    const own = this.client.session?.client;
    const items = people.map(({ session, user, name }) => h('li', {}, `${name || user || 'anonymous'} · ${session}${session === own ? ' (you)' : ''}`));
    return [h('h3', {}, `Presence: ${people.length}`), h('ul', { class: 'people' }, ...items)];
  }

  #listen() {
    const on = (type, handle) => this.subscription.addEventListener(type, (event) => handle(event.detail));
    on('state', ({ state, error }) => this.#showState(state, error));
    on('subscribed', (detail) => this.#onSubscribed(detail));
    on('publication', (publication) => this.#onPublication(publication));
    on('caughtup', () => this.#showPosition());
    for (const [type, did] of [['join', 'joined'], ['leave', 'left']]) on(type, (member) => this.#showMember(member, did));
  }

  #onSubscribed({ fresh, publications }) {
    const again = this.wasSubscribed;
    this.wasSubscribed = true;
    if (fresh) this.table.clear();
    this.#missedLeft = again && !fresh ? publications : 0;
    if (!again) return;
    const what = this.map ? 'changes' : 'publications';
    this.recovery.hidden = false;
    this.recovery.classList.toggle('lost', fresh);
    this.recovery.textContent = fresh
      ? `Came back: not recovered. The position is not known any more; what follows is ${this.map ? 'the table' : 'the newest'}.`
      : `Came back: recovered, ${publications} ${what} that were missed.`;
  }

  #onPublication(publication) {
    const missed = this.#missedLeft > 0;
    if (missed) this.#missedLeft -= 1;
    this.table.add({ ...publication, missed });
    if (!this.map) this.#showPosition();
  }

  #showPosition() {
    const { position } = this.subscription;
    const where = position ? `${position.epoch} ${Math.max(position.offset, 0)}` : '';
    this.position.textContent = this.map ? `${where} · ${this.table.count} keys` : where;
  }

  #showState(state, error) {
    const text = error ? `${STATES[state]}: ${error.code} ${error.message}` : STATES[state];
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  #showMember({ session, user, name }, did) {
    if (session !== this.client.session?.client) this.news.textContent = `${name || user || session} ${did}`;
  }
}
