/** The chat page: puts the connection, the rooms and the controls together. */
import { Outbox } from '/lib/outbox.mjs';
import { setUpTheme } from '/lib/theme.mjs';
import { ConnectionView } from '/lib/connection_view.mjs';
import { LogView } from './logview.mjs';
import { NameDialog } from './namedialog.mjs';
import { Room } from './room.mjs';
import { RoomList } from './roomlist.mjs';
import { ROOM_PATTERN, name, ownIds, rooms as storedRooms, storage, tabId } from './store.mjs';
import { newClient } from './wires.mjs';

const DEFAULT_ROOM = 'lobby';
const $ = (id) => document.getElementById(id);

const { client, say } = newClient(location, () => ({ client: tabId, join: 'none', ...(name.get() && { name: name.get() }) }));
const rooms = new Map();
const drafts = new Map();
let current = null;

const outbox = new Outbox({
  send: ({ id, payload }) => say(payload, id),
  isReady: (room) => client.isOpen && (rooms.get(room)?.isReady ?? true),
  storage,
  prefix: 'crier-chat.outbox',
  tab: tabId,
});

const actions = { onRetry: retryFailed, onEdit: editFailed, onDiscard: discardFailed };
const logView = new LogView({ log: $('log'), jump: $('jump') });
const roomList = new RoomList($('rooms'), { onLeave: leaveRoom });
const nameDialog = new NameDialog({ dialog: $('name-dialog'), button: $('name-button') });

/* ---- rooms ---- */

function isLookedAt(room) {
  return room === current && document.visibilityState === 'visible' && logView.atBottom;
}

function joinRoom(roomName) {
  if (rooms.has(roomName)) return rooms.get(roomName);
  const room = new Room(roomName, { client, outbox, actions });
  room.isWatched = () => isLookedAt(room);
  room.addEventListener('change', () => showRoomState(room));
  room.addEventListener('message', (event) => room === current && logView.onAdded(event.detail));
  rooms.set(roomName, room);
  for (const entry of outbox.entries) if (entry.group === roomName) showPending(room, entry);
  roomList.add(room);
  storedRooms.set([...rooms.keys()]);
  return room;
}

function leaveRoom(room) {
  room.close();
  rooms.delete(room.name);
  roomList.remove(room);
  storedRooms.set([...rooms.keys()]);
  if (room === current) location.hash = `#${rooms.keys().next().value ?? DEFAULT_ROOM}`;
  showUnread();
}

function showRoom(room) {
  if (current) drafts.set(current.name, $('text').value);
  current = room;
  $('room-title').textContent = `# ${room.name}`;
  $('text').setAttribute('placeholder', `Message to ${room.name}`);
  $('text').value = drafts.get(room.name) ?? '';
  showProblem();
  logView.show(room);
  room.markRead();
  roomList.select(room);
  showRoomState(room);
  storedRooms.set([...rooms.keys()]);
}

function showRoomState(room) {
  roomList.update(room);
  showUnread();
  if (room !== current) return;
  logView.setBusy(!room.isReady); // history is no news to be read out
  const { people } = room;
  $('people').replaceChildren(...people.render(name.get() || room.ownName));
  $('people-total').textContent = people.available ? people.count : '';
  $('people-count').textContent = people.available ? people.count : '';
}

function showUnread() {
  const total = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = `${total > 0 ? `(${total}) ` : ''}${current?.name ?? 'Chat'} · crier`;
  const elsewhere = total - (current?.unread ?? 0);
  $('other-unread').textContent = elsewhere || '';
  $('other-unread').hidden = elsewhere === 0;
}

function roomFromHash() {
  let wanted = '';
  try {
    wanted = decodeURIComponent(location.hash.slice(1));
  } catch {
    // Broken escapes name no room.
  }
  return ROOM_PATTERN.test(wanted) ? wanted : null;
}

function onHashChange() {
  const wanted = roomFromHash();
  if (!wanted) return location.replace(`#${current?.name ?? DEFAULT_ROOM}`);
  showRoom(joinRoom(wanted));
  closePanels();
  if (matchMedia('(pointer: fine)').matches && !$('name-dialog').open) $('text').focus();
}

function onRead() {
  if (current && isLookedAt(current)) current.markRead();
}

/* ---- messages on their way ---- */

function sendMessage(event) {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text) return $('text').focus();
  outbox.add(current.name, { message: text, sender: name.get(), room: current.name });
  $('text').value = '';
  drafts.delete(current.name);
  logView.toBottom();
  $('text').focus();
}

function retryFailed(id) {
  outbox.retry(id);
  $('text').focus(); // the button that had the focus is gone
}

function discardFailed(id) {
  outbox.discard(id);
  for (const room of rooms.values()) room.log.removePending(id);
  showProblem();
  $('text').focus();
}

function editFailed(id) {
  const entry = outbox.entries.find((e) => e.id === id);
  if (!entry) return;
  $('text').value = $('text').value ? `${entry.payload.message}\n${$('text').value}` : entry.payload.message;
  discardFailed(id);
}

function showPending(room, entry) {
  ownIds.add(entry.id);
  room.log.showPending(entry);
}

function onOutboxChange({ detail: { entry } }) {
  const room = rooms.get(entry.group);
  if (room) showPending(room, entry);
  if (room !== current) return;
  logView.onAdded({ own: true });
  showProblem();
}

function onOutboxSent({ detail: { entry, result } }) {
  rooms.get(entry.group)?.log.showSent(entry, result.offset);
  showProblem();
}

/** Why the oldest message that is stuck in this room is not sent. */
function showProblem() {
  const stuck = outbox.entries.find((entry) => entry.group === current.name && entry.problem);
  const text = stuck ? `${stuck.state === 'failed' ? 'Not sent' : 'Not sent yet'}: ${stuck.problem}.` : '';
  if ($('problem').textContent !== text) $('problem').textContent = text;
}

/* ---- controls ---- */

function togglePanel(button, panel) {
  const open = button.getAttribute('aria-expanded') !== 'true';
  closePanels();
  button.setAttribute('aria-expanded', String(open));
  panel.classList.toggle('open', open);
  if (open) panel.querySelector('a, button, input')?.focus();
}

function closePanels() {
  for (const [button, panel] of [['show-rooms', 'rooms-panel'], ['show-people', 'people-panel']]) {
    $(button).setAttribute('aria-expanded', 'false');
    $(panel).classList.remove('open');
  }
}

function onKeydown(event) {
  if (event.key !== 'Escape') return;
  const opener = document.querySelector('.bar [aria-expanded=true]');
  closePanels();
  opener?.focus();
}

function onTextKeydown(event) {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('composer').requestSubmit();
}

function onJoinSubmit(event) {
  event.preventDefault();
  const wanted = $('join-name').value.trim().replace(/^#/, '');
  const valid = ROOM_PATTERN.test(wanted);
  $('join-problem').textContent = valid ? '' : 'Use 1 to 64 letters, digits, or _ . -';
  $('join-name').setAttribute('aria-invalid', String(!valid));
  if (!valid) return $('join-name').focus();
  $('join-name').value = '';
  location.hash = `#${wanted}`;
}

function onNameChange() {
  if (client.state === 'open' || client.state === 'connecting') client.reconnect();
  if (current) showRoomState(current);
}

function start() {
  setUpTheme($('theme'));
  new ConnectionView(client, { root: $('connection'), text: $('connection-text'), countdown: $('countdown'), tryNow: $('try-now') });
  outbox.addEventListener('change', onOutboxChange);
  outbox.addEventListener('sent', onOutboxSent);
  client.addEventListener('state', () => outbox.pump());
  nameDialog.addEventListener('change', onNameChange);
  nameDialog.addEventListener('close', () => $('text').focus());
  logView.addEventListener('read', onRead);
  document.addEventListener('visibilitychange', onRead);
  document.addEventListener('keydown', onKeydown);
  document.querySelector('main').addEventListener('click', closePanels);
  window.addEventListener('hashchange', onHashChange);
  window.addEventListener('online', () => client.connect());
  $('composer').addEventListener('submit', sendMessage);
  $('text').addEventListener('keydown', onTextKeydown);
  $('join').addEventListener('submit', onJoinSubmit);
  $('show-rooms').addEventListener('click', () => togglePanel($('show-rooms'), $('rooms-panel')));
  $('show-people').addEventListener('click', () => togglePanel($('show-people'), $('people-panel')));

  const remembered = storedRooms.get();
  for (const room of remembered.length > 0 ? remembered : [DEFAULT_ROOM]) joinRoom(room);
  for (const { group } of outbox.entries) joinRoom(group);
  if (roomFromHash()) onHashChange();
  else location.replace(`#${rooms.keys().next().value}`);
  if (!name.isSet()) nameDialog.open();
  client.connect();
}

start();
