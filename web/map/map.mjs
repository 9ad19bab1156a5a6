/** The map page: puts the map, the vehicles and the controls together. */
import { setUpTheme } from '/lib/theme.mjs';
import { createBase } from './base.mjs';
import { Feed } from './feed.mjs';
import { Fleet } from './fleet.mjs';
import { Scene } from './scene.mjs';
import { Traffic } from './traffic.mjs';

const $ = (id) => document.getElementById(id);
setUpTheme($('theme'));

const map = createBase($('map'));
const fleet = new Fleet();
const traffic = new Traffic((now) => {
  fleet.advance(now);
  return fleet.vehicles.values();
}, () => true);

const canvas = document.createElement('canvas');
canvas.className = 'overlay';
map.getCanvasContainer().append(canvas);
const scene = new Scene(map, canvas, [traffic]);

const feed = new Feed(() => {
  const bounds = map.getBounds();
  return {
    box: { west: bounds.getWest(), south: bounds.getSouth(), east: bounds.getEast(), north: bounds.getNorth() },
    modes: [],
    lines: [],
    operators: [],
  };
});
feed.addEventListener('batch', ({ detail }) => fleet.apply(detail, performance.now()));
feed.addEventListener('state', ({ detail }) => {
  $('connection').dataset.state = detail.state;
});
map.on('move', () => feed.look());
feed.start();
window.crierMap = { map, fleet, scene, traffic, feed };
