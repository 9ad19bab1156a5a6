/** Where vehicles have driven, as the server has summed it up: the network of streets and rails without tiles. */
import { addTracks } from './base.mjs';
import { api } from './api.mjs';
import { widen } from './geo.mjs';

const REFRESH_MS = 60_000;
const MARGIN = 0.6;

const covers = (outer, inner) => outer && outer.west <= inner.west && outer.south <= inner.south && outer.east >= inner.east && outer.north >= inner.north;

export class Tracks {
  #layer;
  #loaded = null;
  #loading = false;

  /** @param {() => object} box what the map shows */
  constructor(map, box) {
    this.box = box;
    this.visible = true;
    this.#layer = addTracks(map);
    map.on('moveend', () => this.#load(false));
    setInterval(() => this.#load(true), REFRESH_MS);
    this.#load(true);
  }

  setVisible(visible) {
    this.visible = visible;
    this.#layer.setVisible(visible);
    if (visible) this.#load(false);
  }

  async #load(again) {
    const box = this.box();
    if (!this.visible || this.#loading || document.hidden || (!again && covers(this.#loaded, box))) return;
    this.#loading = true;
    try {
      const wider = widen(box, MARGIN);
      this.#layer.show(await api.tracks(wider));
      this.#loaded = wider;
    } catch {
      // The map is as useful without; the next move asks again.
    } finally {
      this.#loading = false;
    }
  }
}
