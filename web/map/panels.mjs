/** Panels that a button opens and closes; of one group only one is open. The focus goes in with opening and back with closing. */
export class Panels {
  #panels;

  /** @param {Object<string, {button, panel, group?, onOpen?, onClose?}>} panels */
  constructor(panels) {
    this.#panels = panels;
    for (const [name, { button, panel }] of Object.entries(panels)) {
      button.addEventListener('click', () => (this.isOpen(name) ? this.close(name) : this.open(name)));
      panel.querySelector('.close')?.addEventListener('click', () => this.close(name));
    }
  }

  isOpen(name) {
    return !this.#panels[name].panel.hidden;
  }

  open(name, { focus = true } = {}) {
    const { button, panel, group, onOpen } = this.#panels[name];
    for (const [other, one] of Object.entries(this.#panels)) if (group && other !== name && one.group === group) this.close(other);
    panel.hidden = false;
    button.setAttribute('aria-expanded', 'true');
    onOpen?.();
    if (focus) panel.querySelector('select:not(:disabled), input, button')?.focus();
  }

  close(name) {
    const { button, panel, onClose } = this.#panels[name];
    if (panel.hidden) return;
    const had = panel.contains(document.activeElement);
    panel.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    onClose?.();
    if (had) button.focus();
  }

  /** Closes the panel with the focus, else any that is open; false when none was. */
  closeTop() {
    const open = Object.keys(this.#panels).filter((name) => this.isOpen(name));
    const name = open.find((candidate) => this.#panels[candidate].panel.contains(document.activeElement)) ?? open.at(-1);
    if (name) this.close(name);
    return name !== undefined;
  }
}
