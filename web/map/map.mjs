/** The map page: puts the map, the vehicles and the controls together. */
import { setUpTheme } from '/lib/theme.mjs';
import { api } from './api.mjs';
import { addControls, createBase } from './base.mjs';
import { HoverCard, VehicleCard } from './card.mjs';
import { titleOf } from './describe.mjs';
import { Feed } from './feed.mjs';
import { Filters } from './filters.mjs';
import { Fleet } from './fleet.mjs';
import { VehicleList } from './list.mjs';
import { Panels } from './panels.mjs';
import { placesLayer } from './places.mjs';
import { Replay } from './replay.mjs';
import { Scene } from './scene.mjs';
import { Search } from './search.mjs';
import { Selection } from './selection.mjs';
import { Status } from './status.mjs';
import { Timeline } from './timeline.mjs';
import { Announcer, Toasts } from './toasts.mjs';
import { Tracks } from './tracks.mjs';
import { Traffic } from './traffic.mjs';
import { motion } from './vehicle.mjs';
import { AddressKeeper, parseView } from './view.mjs';
import { FLAG } from './wire.mjs';
import { Zones } from './zones.mjs';

const $ = (id) => document.getElementById(id);
const CARD_MS = 250;
const EDGE_PX = 80;
const STALE_MS = 4000;

setUpTheme($('theme'));
const still = matchMedia('(prefers-reduced-motion: reduce)');
still.addEventListener('change', () => { motion.still = still.matches; });
motion.still = still.matches;

const wanted = parseView(location.hash);
const map = createBase($('map'), wanted.camera);
const fleet = new Fleet();
const box = () => {
  const bounds = map.getBounds();
  return { west: bounds.getWest(), south: bounds.getSouth(), east: bounds.getEast(), north: bounds.getNorth() };
};

/* ---- what is drawn ---- */

const filters = new Filters({ modes: $('modes'), operator: $('operator'), chosen: $('chosen'), count: $('filter-count'), clear: $('clear-filter') });
const replay = new Replay(box);
const timeline = new Timeline({ range: $('time'), play: $('play'), live: $('live'), speed: $('speed'), text: $('time-text') },
  () => fleet.feedTime(), () => (replay.failed ? 'cannot be loaded' : replay.empty ? 'nothing recorded' : ''));
const find = (id) => (timeline.isLive ? fleet.get(id) : replay.get(id));
const selection = new Selection({ map, find });

function vehiclesNow(now) {
  fleet.advance(now);
  if (timeline.isLive) return fleet.vehicles.values();
  const timeMs = timeline.advance(now);
  selection.trail.untilMs = timeMs;
  return replay.vehiclesAt(timeMs, timeline.speed);
}

const traffic = new Traffic(vehiclesNow, (vehicle) => filters.accepts(vehicle));
const zones = new Zones(
  { select: $('organization'), list: $('zones'), events: $('events'), problem: $('zones-problem') },
  { onVehicle: (id) => choose(id, { fly: true }) },
);
const canvas = document.createElement('canvas');
canvas.className = 'overlay';
map.getCanvasContainer().append(canvas);
const followLayer = { draw: () => selection.keepInView() };
const scene = new Scene(map, canvas, [placesLayer, zones, selection.trail, traffic, zones.frontLayer(find), followLayer]);

/* ---- the server ---- */

const feed = new Feed(() => ({ box: box(), ...filters.lists }));
const toasts = new Toasts($('toasts'));
const announcer = new Announcer($('announcer'));
const status = new Status(feed.client, { root: $('connection'), text: $('connection-text'), count: $('count'), lag: $('lag'), tryNow: $('try-now') }, () => ({
  ageMs: fleet.ageMs(),
  silentMs: fleet.newestMs ? performance.now() - fleet.heardAt : 0,
  count: fleet.size,
  replayMs: timeline.timeMs,
}));

function onBatch({ detail: batch }) {
  const now = performance.now();
  fleet.apply(batch, now);
  for (const data of batch.vehicles) selection.onPosition(data);
  if (batch.vehicles.length) $('simulated').hidden = (batch.vehicles[0].flags & FLAG.SIMULATED) === 0;
}

function onNotification({ detail: notification }) {
  zones.onNotification(notification, performance.now());
  if (!$('crossings').checked || (zones.organization && notification.org_id !== zones.organization)) return;
  if (!zones.organization && !panels.isOpen('zones')) return;
  const text = `${notification.vehicle_id} ${notification.event === 'Enter' ? 'entered' : 'left'} ${notification.zone_name}`;
  toasts.show(notification.event.toLowerCase(), text, () => choose(notification.vehicle_id, { fly: true }));
  if (panels.isOpen('zones')) announcer.say(text);
}

let wasAway = false;
let staleTimer = null;
function onState({ detail: { state } }) {
  clearTimeout(staleTimer);
  if (state === 'open') {
    canvas.classList.remove('stale');
    if (wasAway) {
      zones.load();
      selection.trail.load();
    }
    wasAway = false;
  } else if (state === 'waiting' || state === 'closed') {
    wasAway = true;
    staleTimer = setTimeout(() => canvas.classList.add('stale'), STALE_MS);
  }
}

feed.addEventListener('batch', onBatch);
feed.addEventListener('notification', onNotification);
feed.addEventListener('state', onState);
feed.addEventListener('problem', ({ detail }) => toasts.show('problem', detail.message));

/* ---- choosing and pointing ---- */

const hover = new HoverCard($('hover'));
const card = new VehicleCard(
  { card: $('card'), title: $('card-title'), facts: $('card-facts'), follow: $('follow'), close: $('card-close'), note: $('card-note') },
  { onFollow: () => setFollowing(!selection.following), onClose: () => choose(null) },
);

function showCard() {
  const { id, data, following } = selection;
  const vehicle = id !== null && find(id);
  card.show(id, data, { nowMs: timeline.timeMs ?? fleet.feedTime(), inView: Boolean(vehicle), following });
}

async function choose(id, { fly = false, follow = false } = {}) {
  const had = $('card').contains(document.activeElement);
  traffic.selected = id;
  const chosen = selection.choose(id, { fly, follow });
  showCard();
  address.touch();
  if (id === null && had) map.getCanvas().focus();
  if (id !== null) announcer.say(`Chosen: ${selection.data ? titleOf(selection.data) : id}`);
  await chosen;
  showCard();
}

function setFollowing(following) {
  selection.follow(following);
  showCard();
  address.touch();
}

function pointAt(point) {
  const hit = point && traffic.at(point.x, point.y);
  traffic.hovered = hit?.vehicle?.id ?? null;
  map.getCanvas().style.cursor = hit ? 'pointer' : '';
  hover.show(hit, timeline.timeMs ?? fleet.feedTime(), scene.camera);
}

function onClick({ point, originalEvent }) {
  const hit = traffic.at(point.x, point.y, originalEvent.pointerType === 'touch' ? 24 : undefined);
  pointAt(null);
  if (hit?.cluster) map.easeTo({ center: map.unproject([hit.x, hit.y]), zoom: map.getZoom() + 1.6 });
  else choose(hit?.vehicle.id ?? null);
}

let pointer = null;
map.on('mousemove', ({ point }) => {
  pointer = point;
  pointAt(point);
});
for (const name of ['mouseout', 'movestart']) map.on(name, () => pointAt((pointer = null)));
map.on('click', onClick);
map.on('dragstart', () => selection.following && setFollowing(false));
setInterval(() => {
  if (selection.id !== null) showCard();
  if (pointer) pointAt(pointer); // vehicles move under a pointer that rests
}, CARD_MS);

/* ---- panels ---- */

const list = new VehicleList({ list: $('list'), count: $('list-count') }, {
  read: () => [...(timeline.isLive ? fleet.vehicles.values() : traffic.visible.map((item) => item.vehicle))]
    .filter((vehicle) => !vehicle.leftAt && filters.accepts(vehicle) && isInView(vehicle)),
  onVehicle: (id) => choose(id),
});
const panels = new Panels({
  filter: { button: $('show-filter'), panel: $('filter-panel') },
  zones: { button: $('show-zones'), panel: $('zones-panel'), group: 'side' },
  list: { button: $('show-list'), panel: $('list-panel'), group: 'side', onOpen: () => list.open(), onClose: () => list.close() },
});
const isInView = ({ x, y }) => {
  const { camera } = scene;
  const [screenX, screenY] = [camera.screenX(x, y), camera.screenY(x, y)];
  return screenX >= 0 && screenY >= 0 && screenX <= camera.width && screenY <= camera.height;
};

new Search({ form: $('search'), input: $('query'), list: $('hits') }, {
  read: () => [...fleet.vehicles.values()],
  onLine: (line, points) => {
    filters.showLine(line);
    if (points?.length) fit(points);
  },
  onVehicle: (id) => choose(id, { fly: true }),
  onPlace: ({ longitude, latitude, zoom }) => map.flyTo({ center: [longitude, latitude], zoom: Math.min(15, Math.max(zoom + 2, 12)) }),
});

/** What is not covered by an open panel: it lies at the right, on a phone at the bottom. */
function freeEdges() {
  const { width, height } = scene.camera;
  const covered = [...document.querySelectorAll('.side')].find((panel) => !panel.hidden)?.getBoundingClientRect();
  const edges = { top: EDGE_PX, left: EDGE_PX / 2, right: EDGE_PX / 2, bottom: EDGE_PX };
  if (covered && covered.width < width / 2) edges.right += width - covered.left;
  else if (covered) edges.bottom = height - covered.top + EDGE_PX / 4;
  return edges;
}

function fit(points) {
  const [longitudes, latitudes] = [points.map((point) => point[0]), points.map((point) => point[1])];
  map.fitBounds([Math.min(...longitudes), Math.min(...latitudes), Math.max(...longitudes), Math.max(...latitudes)], { padding: freeEdges(), maxZoom: 14 });
}

function onFilter() {
  feed.look();
  list.refresh();
  address.touch();
}

filters.addEventListener('change', onFilter);
zones.addEventListener('chosen', () => {
  const bounds = zones.bounds();
  if (bounds) map.fitBounds(bounds, { padding: freeEdges(), maxZoom: 14 });
  address.touch();
});
timeline.addEventListener('change', () => {
  if (timeline.isLive) replay.clear();
  selection.trail.untilMs = Infinity;
  status.tick();
  announcer.say(timeline.isLive ? 'Live again' : 'Showing the past');
});
replay.addEventListener('loading', () => $('time-text').classList.toggle('loading', replay.loading > 0));

addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    if (!panels.closeTop() && selection.id !== null) choose(null);
  } else if (event.target.closest('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === '/') {
    event.preventDefault();
    $('query').focus();
  } else if (event.key === 'f' && selection.id !== null) {
    setFollowing(!selection.following);
  }
});

/* ---- the address ---- */

const address = new AddressKeeper(() => ({
  zoom: map.getZoom(),
  center: map.getCenter(),
  bearing: map.getBearing(),
  vehicle: selection.id,
  follow: selection.following,
  zones: zones.organization,
  ...filters.lists,
}), applyView);

function applyView({ camera, vehicle, follow, zones: organization, ...lists }) {
  if (camera) map.jumpTo(camera);
  filters.set(lists);
  if (organization !== zones.organization) zones.choose(organization);
  if (vehicle !== selection.id) choose(vehicle, { fly: !camera || follow, follow });
  else setFollowing(follow);
}

map.on('move', () => {
  feed.look();
  address.touch();
});
map.on('moveend', () => {
  if (!timeline.isLive && !selection.following) replay.clear();
});

/* ---- begin ---- */

filters.set(wanted);
feed.start();
zones.start(wanted.zones);
if (wanted.zones) panels.open('zones', { focus: false });
if (wanted.vehicle) choose(wanted.vehicle, { fly: !wanted.camera || wanted.follow, follow: wanted.follow });
api.status()
  .then(({ simulated, attribution }) => {
    $('simulated').hidden = !simulated;
    addControls(map, attribution);
  })
  .catch(() => addControls(map, ''));
map.once('load', () => {
  const tracks = new Tracks(map, box);
  $('tracks').addEventListener('change', () => tracks.setVisible($('tracks').checked));
});

/** For the tests and the console. */
window.crierMap = { map, fleet, scene, traffic, feed, zones, selection, timeline, replay, filters };
