/** The state of the connection in words, with a countdown to the next attempt. */
const TEXT = {
  idle: 'Not connected',
  connecting: 'Connecting …',
  open: 'Connected',
  waiting: 'Connection lost. Next attempt',
  closed: 'The server ended the connection',
};
const TICK_MS = 250;

export class ConnectionView {
  #timer = null;

  constructor(client, { root, text, countdown, tryNow }) {
    Object.assign(this, { root, text, countdown, tryNow });
    client.addEventListener('state', ({ detail }) => this.#show(detail));
    tryNow.addEventListener('click', () => client.connect());
  }

  #show({ state, delayMs, reason }) {
    clearInterval(this.#timer);
    // A first attempt of many is not worth an announcement: the words change only when the outcome does.
    if (state !== 'connecting' || this.root.dataset.state !== 'waiting') this.#say(state, reason);
    this.root.dataset.state = state;
    this.countdown.textContent = '';
    this.tryNow.hidden = state !== 'waiting' && state !== 'closed';
    if (state === 'waiting') this.#countDown(Date.now() + delayMs);
    if (state === 'connecting') this.countdown.textContent = this.text.textContent === TEXT.waiting ? 'now …' : '';
  }

  #say(state, reason) {
    const text = state === 'closed' && reason ? `${TEXT.closed}: ${reason}` : TEXT[state];
    if (this.text.textContent !== text) this.text.textContent = text;
  }

  #countDown(untilMs) {
    const tick = () => {
      this.countdown.textContent = `in ${Math.max(1, Math.ceil((untilMs - Date.now()) / 1000))} s`;
    };
    tick();
    this.#timer = setInterval(tick, TICK_MS);
  }
}
