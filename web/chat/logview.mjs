/**
 * The scrolling part of the page: shows one room's log, stays at the bottom if it was there, and offers a way down
 * where it was not. Event `read`: the end of the log is in view.
 */
const NEAR_PX = 48;

export class LogView extends EventTarget {
  #room = null;
  #news = 0;
  #stick = true;
  #scrolled = new Map();

  constructor({ log, jump }) {
    super();
    this.log = log;
    this.jump = jump;
    log.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    jump.addEventListener('click', () => this.toBottom());
    new ResizeObserver(() => this.#keepDown()).observe(log);
  }

  get atBottom() {
    return this.#stick;
  }

  show(room) {
    if (this.#room === room) return;
    if (this.#room) this.#scrolled.set(this.#room, this.#stick ? null : this.log.scrollTop);
    this.#room = room;
    this.setBusy(true);
    this.log.replaceChildren(room.log.root);
    const top = this.#scrolled.get(room) ?? null;
    this.#stick = top === null;
    this.log.scrollTop = top ?? this.log.scrollHeight;
    this.#setNews(0);
  }

  setBusy(busy) {
    this.log.setAttribute('aria-busy', String(busy));
  }

  /** Something was added to the room that is shown. */
  onAdded({ news }) {
    if (this.#stick) return this.#keepDown();
    if (news) this.#setNews(this.#news + 1);
  }

  toBottom() {
    this.#stick = true;
    this.#keepDown();
    this.#setNews(0);
    this.dispatchEvent(new Event('read'));
  }

  #keepDown() {
    if (this.#stick) this.log.scrollTop = this.log.scrollHeight;
  }

  #onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    this.#stick = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (!this.#stick) return;
    this.#setNews(0);
    this.dispatchEvent(new Event('read'));
  }

  #setNews(count) {
    this.#news = count;
    this.jump.hidden = count === 0;
    this.jump.textContent = count === 1 ? '1 new message ↓' : `${count} new messages ↓`;
  }
}
