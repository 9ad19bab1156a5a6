/** Asks for the person's name; the button shows it. Event `change` when it is another one, `close` in any case. */
import { name } from './store.mjs';

const NAME_CHARS_MAX = 40;

export class NameDialog extends EventTarget {
  constructor({ dialog, button }) {
    super();
    this.dialog = dialog;
    this.button = button;
    this.form = dialog.querySelector('form');
    this.input = dialog.querySelector('input');
    this.problem = dialog.querySelector('[role=alert]');
    button.addEventListener('click', () => this.open());
    this.form.addEventListener('submit', (event) => this.#onSubmit(event));
    dialog.addEventListener('close', () => this.dispatchEvent(new Event('close')));
    this.#show();
  }

  open() {
    this.input.value = name.get();
    this.problem.textContent = '';
    this.dialog.showModal();
    this.input.select();
  }

  #onSubmit(event) {
    const wanted = this.input.value.trim();
    if ([...wanted].length > NAME_CHARS_MAX || /\p{Cc}/u.test(wanted)) {
      event.preventDefault();
      this.problem.textContent = `Use at most ${NAME_CHARS_MAX} characters.`;
      return;
    }
    const changed = wanted !== name.get();
    name.set(wanted);
    this.#show();
    if (changed) this.dispatchEvent(new Event('change'));
  }

  #show() {
    this.button.textContent = name.get() || 'Guest';
    this.button.setAttribute('aria-label', `Your name: ${name.get() || 'guest'}. Change`);
  }
}
