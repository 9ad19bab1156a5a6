import { h, socketUrl } from '/lib/dom.mjs';
import { setUpTheme } from '/lib/theme.mjs';

const POLL_MS = 3_000;
const ready = document.getElementById('ready');
const reasons = document.getElementById('reasons');

function show(className, text, details = []) {
  if (ready.textContent !== text) ready.textContent = text;
  ready.className = `state ${className}`;
  reasons.replaceChildren(...details.map((reason) => h('li', {}, reason)));
  reasons.hidden = details.length === 0;
}

/** The reasons in the answer of /readyz, whatever their form. */
function listReasons(body) {
  const list = body?.reasons ?? body?.not_ready ?? [];
  return list.map((reason) => (typeof reason === 'string' ? reason : JSON.stringify(reason)));
}

async function poll() {
  try {
    const response = await fetch('/readyz', { cache: 'no-store' });
    const body = await response.json().catch(() => null);
    if (response.ok) show('ready', 'Ready');
    else show('not-ready', 'Running, but not ready', listReasons(body));
  } catch {
    show('away', 'The server does not answer');
  }
  setTimeout(poll, POLL_MS);
}

document.getElementById('ws-url').textContent = socketUrl('/ws');
document.getElementById('channels-url').textContent = socketUrl('/connection/websocket');
setUpTheme(document.getElementById('theme'));
poll();
