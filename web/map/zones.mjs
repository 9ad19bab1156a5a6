/**
 * Geofences: the panel of an organization's zones with the vehicles inside, and their circles on the map. The lists are asked for once and
 * then kept by the notifications; after the connection was away, and once a minute, they are asked for again. Event: `chosen`, by the user.
 */
import { h } from '/lib/dom.mjs';
import { api } from './api.mjs';
import { timeText } from './describe.mjs';
import { mercatorX, mercatorY } from './geo.mjs';

const REFRESH_MS = 60_000;
const FRESH_MS = 3000;
const LISTED = 60;
const EVENTS = 20;
const PULSE_MS = 1600;

export class Zones extends EventTarget {
  organization = null;
  zones = [];
  #elements;
  #onVehicle;
  #pulses = [];
  #loading = 0;

  /** Elements: select, list, events (a list), problem. */
  constructor(elements, { onVehicle }) {
    super();
    this.#elements = elements;
    this.#onVehicle = onVehicle;
    elements.select.addEventListener('change', async () => {
      await this.choose(elements.select.value || null);
      this.dispatchEvent(new Event('chosen'));
    });
    setInterval(() => this.load(), REFRESH_MS);
  }

  /** Fills the list of organizations. */
  async start(wanted) {
    const { select } = this.#elements;
    try {
      const organizations = await api.organizations();
      select.replaceChildren(h('option', { value: '' }, 'Choose an organization'),
        ...organizations.map(({ id, name }) => h('option', { value: id }, name)));
      select.disabled = false;
      if (wanted) await this.choose(wanted);
    } catch {
      this.#say('The zones cannot be loaded now.');
    }
  }

  async choose(id) {
    this.organization = id;
    this.#elements.select.value = id ?? '';
    this.zones = [];
    this.#pulses = [];
    this.#elements.events.replaceChildren();
    this.#render();
    await this.load();
  }

  async load() {
    const id = this.organization;
    if (!id) return this.#say('');
    const loading = ++this.#loading;
    try {
      const { geofences } = await api.organization(id);
      if (id !== this.organization || loading !== this.#loading) return;
      this.zones = geofences.map((fence) => ({
        name: fence.name,
        latitude: fence.latitude,
        radiusM: fence.radiusInMeters,
        x: mercatorX(fence.longitude),
        y: mercatorY(fence.latitude),
        longitude: fence.longitude,
        vehicles: new Map((fence.vehiclesInZone ?? []).map((vehicle) => [vehicle, -Infinity])),
      }));
      this.#say('');
      this.#render();
    } catch (error) {
      this.#say(error.status === 404 ? 'There is no such organization.' : 'The zones cannot be loaded now.');
    }
  }

  onNotification({ vehicle_id: vehicle, org_id: organization, zone_name: name, event }, now) {
    if (organization !== this.organization) return;
    const zone = this.zones.find((candidate) => candidate.name === name);
    if (!zone) return;
    if (event === 'Enter') zone.vehicles.set(vehicle, now);
    else zone.vehicles.delete(vehicle);
    this.#pulses.push({ vehicle, event, from: now });
    if (this.#pulses.length > 30) this.#pulses.shift();
    this.#log(vehicle, name, event);
    this.#renderZone(zone);
  }

  #say(text) {
    if (this.#elements.problem.textContent !== text) this.#elements.problem.textContent = text;
  }

  #log(vehicle, name, event) {
    const { events } = this.#elements;
    events.prepend(h('li', { class: event.toLowerCase() }, h('time', {}, timeText(Date.now())), ` ${vehicle} ${event === 'Enter' ? 'entered' : 'left'} ${name}`));
    while (events.childElementCount > EVENTS) events.lastElementChild.remove();
  }

  #render() {
    this.#elements.list.replaceChildren(...this.zones.map((zone) => {
      zone.element = h('section', { class: 'zone' }, h('h3', {}), h('ul', { class: 'tags' }));
      this.#renderZone(zone);
      return zone.element;
    }));
    this.#elements.list.hidden = this.zones.length === 0;
  }

  #renderZone(zone) {
    const [title, list] = zone.element.children;
    const count = zone.vehicles.size;
    title.textContent = `${zone.name} (${count} ${count === 1 ? 'vehicle' : 'vehicles'})`;
    const now = performance.now();
    const focused = list.contains(document.activeElement) ? document.activeElement.textContent : null;
    const items = [...zone.vehicles].sort((a, b) => (a[0] < b[0] ? -1 : 1)).slice(0, LISTED).map(([vehicle, enteredAt]) =>
      h('li', {}, h('button', { type: 'button', class: `tag${now - enteredAt < FRESH_MS ? ' fresh' : ''}`, onclick: () => this.#onVehicle(vehicle) }, vehicle)));
    if (count > LISTED) items.push(h('li', { class: 'muted' }, `and ${count - LISTED} more`));
    if (count === 0) items.push(h('li', { class: 'muted' }, 'no vehicles in this zone'));
    list.replaceChildren(...items);
    if (focused) [...list.querySelectorAll('button')].find((button) => button.textContent === focused)?.focus();
  }

  /** The box around all zones, or null. */
  bounds() {
    if (this.zones.length === 0) return null;
    const box = [180, 90, -180, -90];
    for (const { longitude, latitude, radiusM } of this.zones) {
      const north = radiusM / 111_200;
      const east = north / Math.cos((latitude * Math.PI) / 180);
      box[0] = Math.min(box[0], longitude - east);
      box[1] = Math.min(box[1], latitude - north);
      box[2] = Math.max(box[2], longitude + east);
      box[3] = Math.max(box[3], latitude + north);
    }
    return box;
  }

  draw({ context, camera, ratio, palette }) {
    context.strokeStyle = context.fillStyle = palette.zone;
    for (const { screenX, screenY, radius } of this.#visible(camera)) {
      context.beginPath();
      context.arc(screenX * ratio, screenY * ratio, radius * ratio, 0, 2 * Math.PI);
      context.globalAlpha = palette.dark ? 0.16 : 0.1;
      context.fill();
      context.globalAlpha = 0.85;
      context.lineWidth = 2.5 * ratio;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  *#visible(camera) {
    for (const zone of this.zones) {
      const radius = camera.pixels(zone.radiusM, zone.latitude);
      const [screenX, screenY] = [camera.screenX(zone.x, zone.y), camera.screenY(zone.x, zone.y)];
      if (screenX + radius < 0 || screenY + radius < 0 || screenX - radius > camera.width || screenY - radius > camera.height) continue;
      yield { zone, screenX, screenY, radius };
    }
  }

  /** What is drawn above the vehicles: names, and rings that run from those that have just crossed a border. */
  frontLayer(find) {
    return {
      draw: ({ context, camera, now, ratio, palette }) => {
        for (const { zone, screenX, screenY, radius } of this.#visible(camera)) {
          if (radius > 24) drawZoneName(context, `${zone.name} · ${zone.vehicles.size}`, screenX * ratio, (screenY - radius - 9) * ratio, ratio, palette);
        }
        this.#pulses = this.#pulses.filter(({ from }) => now - from < PULSE_MS);
        for (const { vehicle: id, event, from } of this.#pulses) {
          const vehicle = find(id);
          if (!vehicle) continue;
          const t = Math.max(0, (now - from) / PULSE_MS);
          context.globalAlpha = 1 - t;
          context.lineWidth = 3 * ratio;
          context.strokeStyle = event === 'Enter' ? palette.modes.tram : palette.zone;
          context.beginPath();
          context.arc(camera.screenX(vehicle.x, vehicle.y) * ratio, camera.screenY(vehicle.x, vehicle.y) * ratio, (8 + 26 * t) * ratio, 0, 2 * Math.PI);
          context.stroke();
        }
        context.globalAlpha = 1;
      },
    };
  }
}

function drawZoneName(context, text, x, y, ratio, palette) {
  context.globalAlpha = 1;
  context.font = `600 ${12 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineJoin = 'round';
  context.lineWidth = 3 * ratio;
  context.strokeStyle = palette.placeHalo;
  context.strokeText(text, x, y);
  context.fillStyle = palette.zone;
  context.fillText(text, x, y);
}
