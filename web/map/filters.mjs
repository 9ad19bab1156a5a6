/** Which vehicles are shown: by mode, operator and line. The server is told, so that it sends no others. Event: `change`. */
import { h } from '/lib/dom.mjs';
import { OPERATORS, operatorName, operatorOf } from './describe.mjs';
import { MODE_NAMES, modeName } from './palette.mjs';
import { MODES } from './wire.mjs';

const LISTED_MODES = ['bus', 'tram', 'train', 'metro', 'ferry'];

export class Filters extends EventTarget {
  modes = new Set();
  lines = new Set();
  operators = new Set();

  /** Elements: modes, operators, lines (containers), count, clear. */
  constructor(elements) {
    super();
    this.elements = elements;
    elements.clear.addEventListener('click', () => this.set({ modes: [], lines: [], operators: [] }));
    elements.operator.append(h('option', { value: '' }, 'Add an operator …'), ...Object.entries(OPERATORS)
      .sort((a, b) => a[1].localeCompare(b[1])).map(([id, name]) => h('option', { value: id }, name)));
    elements.operator.addEventListener('change', () => {
      this.#toggle(this.operators, elements.operator.value);
      elements.operator.value = '';
    });
    this.#render();
  }

  get count() {
    return this.modes.size + this.lines.size + this.operators.size;
  }

  get lists() {
    return { modes: [...this.modes], lines: [...this.lines], operators: [...this.operators] };
  }

  set({ modes, lines, operators }) {
    this.modes = new Set(modes.filter((mode) => MODES.includes(mode)));
    this.lines = new Set(lines);
    this.operators = new Set(operators);
    this.#changed();
  }

  showLine(line) {
    this.set({ modes: [], lines: [line], operators: [] });
  }

  accepts({ data }) {
    return (this.modes.size === 0 || this.modes.has(modeName(data.mode))) && (this.lines.size === 0 || this.lines.has(data.line))
      && (this.operators.size === 0 || this.operators.has(operatorOf(data.id)));
  }

  #toggle(set, value) {
    if (!value) return;
    if (!set.delete(value)) set.add(value);
    this.#changed();
  }

  #changed() {
    this.#render();
    this.dispatchEvent(new Event('change'));
  }

  #render() {
    const { modes, chosen, count, clear } = this.elements;
    const focused = document.activeElement?.dataset?.filter;
    const listed = LISTED_MODES.concat([...this.modes].filter((mode) => !LISTED_MODES.includes(mode)));
    modes.replaceChildren(...listed.map((mode) => h('button', {
      type: 'button',
      class: `chip mode-${mode}`,
      'data-filter': mode,
      'aria-pressed': String(this.modes.has(mode)),
      onclick: () => this.#toggle(this.modes, mode),
    }, h('span', { class: 'swatch', 'aria-hidden': 'true' }), MODE_NAMES[mode])));
    const chips = [
      ...[...this.lines].map((line) => [`Line ${line}`, () => this.#toggle(this.lines, line)]),
      ...[...this.operators].map((id) => [operatorName(id), () => this.#toggle(this.operators, id)]),
    ];
    chosen.replaceChildren(...chips.map(([text, remove]) => h('li', {},
      h('button', { type: 'button', class: 'chip', 'aria-label': `Remove ${text}`, onclick: remove }, text, h('span', { 'aria-hidden': 'true' }, ' ×')))));
    chosen.hidden = chips.length === 0;
    count.textContent = this.count || '';
    count.hidden = this.count === 0;
    clear.hidden = this.count === 0;
    if (focused) modes.querySelector(`[data-filter="${focused}"]`)?.focus();
  }
}
