/** Finding a line, a vehicle or a place: a combobox with what is in view at once, and what the server knows a moment later. */
import { h } from '/lib/dom.mjs';
import { api } from './api.mjs';
import { titleOf } from './describe.mjs';
import { PLACES } from './places.mjs';

const ASK_MS = 250;
const HITS = 8;
const VEHICLE = /^\d{4}\.\d{1,6}$/;

const fold = (text) => text.toLowerCase().normalize('NFD').replace(/\p{M}/gu, '');

export class Search {
  #hits = [];
  #active = -1;
  #timer = null;
  #asked = null;
  #told = null;

  /** Elements: form, input, list. `read` gives the vehicles known here; the rest is called with what was chosen. */
  constructor(elements, { read, onLine, onVehicle, onPlace }) {
    Object.assign(this, { elements, read, onLine, onVehicle, onPlace });
    const { form, input, list } = elements;
    input.addEventListener('input', () => this.#onInput());
    input.addEventListener('focus', () => this.#onInput());
    input.addEventListener('keydown', (event) => this.#onKey(event));
    input.addEventListener('blur', () => setTimeout(() => this.#close(), 150)); // after a click on a hit
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#choose(this.#hits[Math.max(this.#active, 0)]);
    });
    list.addEventListener('pointerdown', (event) => event.preventDefault()); // keeps the focus in the field
  }

  get #text() {
    return this.elements.input.value.trim();
  }

  #onInput() {
    this.#told = null;
    this.#render();
    clearTimeout(this.#timer);
    this.#asked?.abort();
    if (this.#text) this.#timer = setTimeout(() => this.#ask(this.#text), ASK_MS);
  }

  async #ask(text) {
    this.#asked = new AbortController();
    try {
      const { features } = await api.vehiclesOfLine(text.toUpperCase(), this.#asked.signal);
      if (text !== this.#text) return;
      this.#told = { line: text.toUpperCase(), count: features.length, points: features.map((feature) => feature.geometry.coordinates) };
      if (features.length && document.activeElement === this.elements.input) this.#render();
    } catch {
      // What is in view is still found.
    }
  }

  /** Lines by how well they fit, then places, then vehicles. */
  #find(text) {
    const wanted = fold(text);
    const lines = new Map();
    const vehicles = [];
    for (const { id, data } of this.read()) {
      if (data.line && fold(data.line).startsWith(wanted)) lines.set(data.line, (lines.get(data.line) ?? 0) + 1);
      if (id.includes(wanted) || (wanted.length > 2 && fold(data.headsign).includes(wanted))) vehicles.push({ id, text: `${id} · ${titleOf(data)}` });
    }
    if (this.#told?.count) lines.set(this.#told.line, this.#told.count);
    const hits = [...lines].sort((a, b) => a[0].length - b[0].length || (a[0] < b[0] ? -1 : 1)).slice(0, 5)
      .map(([line, count]) => ({ kind: 'line', line, text: `Line ${line}`, note: `${count} ${count === 1 ? 'vehicle' : 'vehicles'}` }));
    const places = PLACES.filter(([name]) => fold(name).startsWith(wanted)).slice(0, 3)
      .map(([name, longitude, latitude, zoom]) => ({ kind: 'place', text: name, note: 'place', longitude, latitude, zoom }));
    if (VEHICLE.test(text) && !vehicles.some(({ id }) => id === text)) vehicles.unshift({ id: text, text });
    return [...hits, ...places, ...vehicles.slice(0, 5).map((vehicle) => ({ kind: 'vehicle', note: 'vehicle', ...vehicle }))].slice(0, HITS);
  }

  #render() {
    const { input, list } = this.elements;
    this.#hits = this.#text ? this.#find(this.#text) : [];
    this.#active = -1;
    list.replaceChildren(...this.#hits.map((hit, i) => h('li', { role: 'option', id: `hit-${i}`, 'aria-selected': 'false', onclick: () => this.#choose(hit) },
      h('span', {}, hit.text), h('span', { class: 'muted' }, hit.note))));
    if (this.#text && this.#hits.length === 0) list.append(h('li', { class: 'muted', role: 'presentation' }, 'Nothing found in view'));
    list.hidden = !this.#text;
    input.setAttribute('aria-expanded', String(!list.hidden));
    input.removeAttribute('aria-activedescendant');
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.#hits.length) {
      event.preventDefault();
      this.#active = (this.#active + step + this.#hits.length + (this.#active < 0 && step < 0 ? 1 : 0)) % this.#hits.length;
      [...this.elements.list.children].forEach((item, i) => item.setAttribute('aria-selected', String(i === this.#active)));
      this.elements.input.setAttribute('aria-activedescendant', `hit-${this.#active}`);
    } else if (event.key === 'Escape' && !this.elements.list.hidden) {
      event.stopPropagation();
      this.#close();
    }
  }

  #choose(hit) {
    if (!hit) return;
    const told = hit.kind === 'line' && this.#told?.line === hit.line ? this.#told.points : null;
    this.elements.input.value = '';
    this.#close();
    if (hit.kind === 'line') this.onLine(hit.line, told);
    else if (hit.kind === 'vehicle') this.onVehicle(hit.id);
    else this.onPlace(hit);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.elements.list.hidden = true;
    this.elements.input.setAttribute('aria-expanded', 'false');
  }
}
