/** Light, dark, or as the system says; remembered per browser. `<html data-theme>` carries the choice. */
const KEY = 'crier.theme';
const CHOICES = ['auto', 'light', 'dark'];
const LABELS = { auto: 'as the system', light: 'light', dark: 'dark' };

function stored() {
  try {
    const choice = localStorage.getItem(KEY);
    return CHOICES.includes(choice) ? choice : 'auto';
  } catch {
    return 'auto';
  }
}

function apply(choice, button) {
  document.documentElement.dataset.theme = choice;
  button?.setAttribute('aria-label', `Colours: ${LABELS[choice]}. Change`);
  button?.setAttribute('title', `Colours: ${LABELS[choice]}`);
}

apply(stored()); // before the page waits for anything

/** Makes `button` the switch. */
export function setUpTheme(button) {
  let choice = stored();
  apply(choice, button);
  button.addEventListener('click', () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    apply(choice, button);
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Not remembered, but switched.
    }
  });
}
