/** The list of joined rooms with their unread counts. Rooms are links, so the address of a room can be shared. */
import { h } from '/lib/dom.mjs';

export class RoomList {
  #items = new Map();

  constructor(list, { onLeave }) {
    this.list = list;
    this.onLeave = onLeave;
  }

  add(room) {
    const count = h('span', { class: 'badge', hidden: true });
    const unread = h('span', { class: 'visually-hidden' });
    const link = h('a', { href: `#${room.name}` }, h('span', { class: 'room-name' }, `# ${room.name}`), count, unread);
    const leave = h('button', { type: 'button', class: 'quiet leave', 'aria-label': `Leave ${room.name}`, title: 'Leave', onclick: () => this.onLeave(room) }, '×');
    const item = h('li', {}, link, leave);
    this.#items.set(room, { item, link, count, unread });
    this.list.append(item);
  }

  remove(room) {
    this.#items.get(room)?.item.remove();
    this.#items.delete(room);
  }

  select(room) {
    for (const [other, { link }] of this.#items) {
      if (other === room) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
  }

  update(room) {
    const parts = this.#items.get(room);
    if (!parts) return;
    parts.count.textContent = room.unread === 0 ? '' : room.unread > 99 ? '99+' : room.unread;
    parts.count.hidden = room.unread === 0;
    parts.count.setAttribute('aria-hidden', 'true');
    parts.unread.textContent = room.unread > 0 ? `, ${room.unread} unread` : '';
    parts.link.classList.toggle('unread', room.unread > 0);
  }
}
