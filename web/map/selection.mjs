/** The chosen vehicle: its newest data, its trail, and the map that follows it. */
import { Trail } from './trail.mjs';

const NEAR_ZOOM = 14.5;
const ROAM = 0.14; // of the smaller side of the screen: moving the map costs more than moving the vehicle
const CATCH_UP_MS = 1400;

export class Selection {
  id = null;
  /** The newest that is known, kept when the vehicle leaves the view; null when nothing is. */
  data = null;
  following = false;
  #map;
  #find;

  constructor({ map, find }) {
    this.#map = map;
    this.#find = find;
    this.trail = new Trail(() => (this.id === null ? undefined : find(this.id)));
  }

  /** Resolves when its trail is here; `fly` moves the map to it. */
  async choose(id, { fly = false, follow = false } = {}) {
    this.id = id;
    this.data = (id !== null && this.#find(id)?.data) || null;
    this.following = id !== null && follow;
    const past = this.trail.show(id);
    if (fly && this.data) this.#flyTo(this.#find(id));
    await past;
    const { newest } = this.trail;
    if (id !== this.id || this.data || !newest || !(fly || follow)) return;
    this.#flyTo(newest);
  }

  #flyTo({ longitude, latitude }) {
    this.#map.flyTo({ center: [longitude, latitude], zoom: Math.max(this.#map.getZoom(), NEAR_ZOOM), duration: 1200 });
  }

  onPosition(data) {
    if (data.id !== this.id) return;
    this.data = data;
    this.trail.onPosition(data);
  }

  follow(following) {
    this.following = following && this.id !== null;
    const place = this.following && (this.#find(this.id) ?? this.trail.newest);
    if (place) this.#flyTo(place);
  }

  /** Each frame: the map goes along, unless it is on its way by itself or by the user. */
  keepInView() {
    if (!this.following || this.#map.isMoving()) return;
    const vehicle = this.#find(this.id);
    if (!vehicle || vehicle.leftAt) return;
    const center = this.#map.getCenter();
    const target = [vehicle.longitude, vehicle.latitude];
    const { clientWidth, clientHeight } = this.#map.getContainer();
    const [from, to] = [this.#map.project(center), this.#map.project(target)];
    if (Math.hypot(from.x - to.x, from.y - to.y) < ROAM * Math.min(clientWidth, clientHeight)) return;
    this.#map.easeTo({ center: target, duration: CATCH_UP_MS, easing: (t) => t * t * (3 - 2 * t) });
  }
}
