/**
 * One room: its subscription, its messages and its people, kept together.
 *
 * Events: `change` (unread, people or state), `message` {own} when something was added to the log.
 */
import { People } from './people.mjs';
import { RoomLog } from './roomlog.mjs';
import { ownIds } from './store.mjs';

const HISTORY = 50;

export class Room extends EventTarget {
  unread = 0;
  problem = '';
  people = new People();

  constructor(name, { client, outbox, actions }) {
    super();
    this.name = name;
    this.channel = `chat:${name}`;
    this.client = client;
    this.outbox = outbox;
    this.log = new RoomLog(actions);
    this.subscription = client.subscribe(this.channel, { history: HISTORY });
    this.#listen();
  }

  /** Messages may go out once those that the room has are here: an unsent one may be among them. */
  get isReady() {
    return this.subscription.caughtUp || this.subscription.state === 'failed';
  }

  /** Whether the person looks at this room; set by the page. */
  isWatched = () => false;

  markRead() {
    if (this.unread === 0) return;
    this.unread = 0;
    this.#changed();
  }

  close() {
    this.client.unsubscribe(this.channel);
  }

  #listen() {
    const on = (type, handle) => this.subscription.addEventListener(type, (event) => handle(event.detail));
    on('subscribed', ({ fresh }) => this.#onSubscribed(fresh));
    on('publication', (publication) => this.#onPublication(publication));
    on('caughtup', () => this.#onCaughtUp());
    on('lost', () => (this.lost = true));
    on('gap', ({ first, last }) => this.log.addNote(`${last - first + 1} messages were skipped: this connection was too slow for them.`));
    on('join', (member) => this.people.join(member));
    on('leave', (member) => this.people.leave(member));
    on('state', ({ state, error }) => this.#onState(state, error));
    this.people.addEventListener('change', () => this.#changed());
  }

  #onState(state, error) {
    this.problem = state === 'failed' ? `This room cannot be read: ${error.message}.` : '';
    if (this.problem) this.log.addNote(this.problem);
    if (state === 'failed') this.outbox.pump();
    this.#changed();
  }

  #onSubscribed(fresh) {
    if (fresh) {
      this.log.clear();
      this.log.removeSent();
    }
    this.fresh = fresh;
    if (this.lost) this.log.addNote('Some messages may be missing here: the server no longer has everything since the connection was lost.');
    this.lost = false;
    this.#refreshPeople();
    this.#changed();
  }

  async #refreshPeople() {
    try {
      this.people.set(await this.client.presence(this.channel));
    } catch {
      // Not offered here, or the connection went away and it is asked again.
    }
  }

  #onPublication({ payload, offset, replayed }) {
    if (payload === null || typeof payload !== 'object') return;
    const own = ownIds.has(payload.id);
    this.log.addMessage(payload, { own, offset });
    if (own) {
      this.outbox.confirm(payload.id, { offset });
      this.log.removePending(payload.id);
      this.ownName = payload.sender;
    }
    const news = !own && !(replayed && this.fresh);
    if (news && !this.isWatched()) this.unread += 1;
    this.dispatchEvent(new CustomEvent('message', { detail: { own, news } }));
    if (news) this.#changed();
  }

  #onCaughtUp() {
    this.outbox.pump();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
