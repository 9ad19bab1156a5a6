/** The console: connects, holds one card a channel, and cuts the line to show what recovery does. */
import { Backoff } from '/lib/backoff.mjs';
import { ChannelsClient } from '/lib/channels.mjs';
import { ConnectionView } from '/lib/connection_view.mjs';
import { h, socketUrl } from '/lib/dom.mjs';
import { setUpTheme } from '/lib/theme.mjs';
import { Card } from './card.mjs';
import { attempt, readJson } from './form.mjs';

const MESSAGES_MAX = 50;
const $ = (id) => document.getElementById(id);

/** The usual back-off, but for a line that was cut on purpose. */
class Line extends Backoff {
  awayMs = null;

  next() {
    const ms = this.awayMs ?? super.next();
    this.awayMs = null;
    return ms;
  }
}

const line = new Line();
// join=none: the chatroom does not subscribe us by itself.
const client = new ChannelsClient(socketUrl('/connection/websocket?join=none'), { token: () => $('token').value.trim(), backoff: line });
const cards = new Map();

/* ---- connection ---- */

function onState({ detail: { state } }) {
  $('cut').querySelector('button').disabled = state !== 'open';
  $('disconnect').disabled = state === 'idle' || state === 'closed';
  $('session').textContent = state === 'open' ? describe(client.session) : '';
}

function describe({ client: id, version, expires, ttl, subs = {} }) {
  const names = Object.keys(subs);
  const own = names.length > 0 ? ` The server subscribed you to ${names.join(', ')}.` : '';
  return `${version}, client ${id}${expires ? `, the token lasts ${ttl} s` : ''}.${own}`;
}

function onConnect(event) {
  event.preventDefault();
  if (client.isOpen) client.reconnect();
  else client.connect();
}

function onCut(event) {
  event.preventDefault();
  line.awayMs = Math.max(0, Number($('away').value) || 0) * 1000;
  client.cut();
}

/* ---- channels ---- */

function onSubscribe(event) {
  event.preventDefault();
  const channel = $('channel').value.trim();
  const known = cards.get(channel);
  $('subscribe-problem').textContent = channel ? (known ? 'There is a card for this channel already.' : '') : 'A channel needs a name.';
  $('channel').setAttribute('aria-invalid', String(!channel));
  if (!channel) return $('channel').focus();
  if (known) return known.element.scrollIntoView({ block: 'nearest' });
  const map = $('subscribe').elements.kind.value === 'map';
  const history = Math.min(300, Math.max(0, Math.trunc(Number($('recent').value)) || 0));
  const card = new Card({ client, channel, map, history: map ? 0 : history, onClose: onCardClosed });
  cards.set(channel, card);
  $('cards').prepend(card.element);
  if (client.state === 'idle') client.connect();
}

function onCardClosed({ channel }) {
  cards.delete(channel);
  $('channel').focus(); // the button that had the focus is gone
}

function onCall(event) {
  event.preventDefault();
  $('answer').hidden = true;
  attempt($('call').querySelector('.problem'), async () => {
    const answer = await client.rpc($('method').value.trim(), readJson($('params')));
    $('answer').textContent = JSON.stringify(answer, null, 2);
    $('answer').hidden = false;
  });
}

/** What belongs to no card: messages of modules, channels that the server chose. */
function onMessage({ detail }) {
  $('others').hidden = false;
  $('messages').prepend(h('li', {}, JSON.stringify(detail)));
  while ($('messages').childElementCount > MESSAGES_MAX) $('messages').lastElementChild.remove();
}

function start() {
  setUpTheme($('theme'));
  new ConnectionView(client, { root: $('connection'), text: $('connection-text'), countdown: $('countdown'), tryNow: $('try-now') });
  client.addEventListener('state', onState);
  client.addEventListener('message', onMessage);
  $('connect').addEventListener('submit', onConnect);
  $('disconnect').addEventListener('click', () => client.close());
  $('cut').addEventListener('submit', onCut);
  $('subscribe').addEventListener('submit', onSubscribe);
  $('call').addEventListener('submit', onCall);
  window.addEventListener('online', () => client.state === 'waiting' && client.connect());
  client.connect();
}

start();
