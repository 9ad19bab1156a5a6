/** The vehicles in view as a list: the map for those who do not see it. Kept while it is open, and only changed where it differs. */
import { h } from '/lib/dom.mjs';
import { delayClass, delayText, titleOf } from './describe.mjs';
import { modeName } from './palette.mjs';

const INTERVAL_MS = 1500;
const LISTED = 150;

const byLine = new Intl.Collator(undefined, { numeric: true });

export class VehicleList {
  #rows = new Map();
  #timer = null;

  /** Elements: list, count. `read` gives the vehicles that the map shows. */
  constructor(elements, { read, onVehicle }) {
    Object.assign(this, { elements, read, onVehicle });
  }

  open() {
    this.refresh();
    this.#timer ??= setInterval(() => this.refresh(), INTERVAL_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#rows.clear();
    this.elements.list.replaceChildren();
  }

  refresh() {
    const vehicles = this.read().sort((a, b) => byLine.compare(a.data.line, b.data.line) || (a.id < b.id ? -1 : 1));
    const shown = vehicles.slice(0, LISTED);
    const wanted = new Set(shown.map((vehicle) => vehicle.id));
    for (const [id, row] of this.#rows) if (!wanted.has(id)) this.#drop(id, row);
    let place = this.elements.list.firstElementChild;
    for (const { id, data } of shown) {
      const row = this.#rows.get(id) ?? this.#add(id);
      this.#fill(row, data);
      if (row.item === place) place = place.nextElementSibling;
      else this.elements.list.insertBefore(row.item, place);
    }
    const more = vehicles.length - shown.length;
    this.elements.count.textContent = `${vehicles.length} in view${more > 0 ? `, the first ${LISTED} are listed` : ''}`;
  }

  #add(id) {
    const [line, title, detail] = [h('span', {}), h('span', { class: 'row-title' }), h('span', {})];
    const item = h('li', {}, h('button', { type: 'button', class: 'row-button', onclick: () => this.onVehicle(id) }, line, title, detail));
    const row = { item, line, title, detail };
    this.#rows.set(id, row);
    return row;
  }

  #fill({ line, title, detail }, data) {
    set(line, data.line || '–', `badge-line mode-${modeName(data.mode)}`);
    set(title, data.headsign || titleOf(data), 'row-title');
    set(detail, delayText(data.delay), `row-detail ${delayClass(data.delay)}`);
  }

  #drop(id, { item }) {
    item.remove();
    this.#rows.delete(id);
  }
}

function set(element, text, className) {
  if (element.textContent !== text) element.textContent = text;
  if (element.className !== className) element.className = className;
}
