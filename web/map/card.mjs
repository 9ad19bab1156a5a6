/** The small card at the pointer and the large one of the chosen vehicle. */
import { h } from '/lib/dom.mjs';
import { factsOf, titleOf } from './describe.mjs';
import { modeName } from './palette.mjs';

const head = (data, tag) => h(tag, {}, h('span', { class: `badge-line mode-${modeName(data.mode)}` }, data.line || '–'),
  h('span', {}, data.headsign || (data.line ? titleOf(data) : data.id)));

const facts = (data, nowMs) => h('dl', {}, ...factsOf(data, nowMs).map(([name, value, kind]) =>
  h('div', {}, h('dt', {}, name), h('dd', { class: kind || null }, value))));

/** Follows the pointer; screen readers have the list instead. */
export class HoverCard {
  constructor(element) {
    this.element = element;
  }

  show(hit, nowMs, { width, height }) {
    const { element } = this;
    if (!hit) return void (element.hidden = true);
    if (hit.cluster) {
      element.replaceChildren(h('p', {}, `${hit.cluster.count} vehicles`), h('p', { class: 'muted' }, 'Click to look closer'));
    } else {
      element.replaceChildren(head(hit.vehicle.data, 'p'), facts(hit.vehicle.data, nowMs));
    }
    element.hidden = false;
    const { offsetWidth, offsetHeight } = element;
    const left = hit.x + 18 + offsetWidth > width ? hit.x - 18 - offsetWidth : hit.x + 18;
    const top = Math.min(Math.max(hit.y - offsetHeight / 2, 8), height - offsetHeight - 8);
    element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}

export class VehicleCard {
  /** Elements: card, title, facts, follow, close, note. */
  constructor(elements, { onFollow, onClose }) {
    this.elements = elements;
    elements.follow.addEventListener('click', onFollow);
    elements.close.addEventListener('click', onClose);
  }

  /** `data` may be null: the vehicle is chosen, but nothing is known of it yet. */
  show(id, data, { nowMs, inView, following }) {
    const { card, title, facts: list, follow, note } = this.elements;
    card.hidden = id === null;
    if (id === null) return;
    title.replaceChildren(...(data ? head(data, 'span').childNodes : [`Vehicle ${id}`]));
    list.replaceChildren(...(data ? facts(data, nowMs).childNodes : []));
    const text = inView ? '' : data ? 'Not in view: follow it to see it.' : 'It has not been seen here yet.';
    if (note.textContent !== text) note.textContent = text;
    follow.setAttribute('aria-pressed', String(following));
    follow.textContent = following ? 'Following' : 'Follow';
  }
}
