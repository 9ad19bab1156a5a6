// The map page in a real browser, against the real server with the module realtimemap on its embedded log.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildDir, sleep, until } from '../lib/crier.mjs';
import { Viewport } from '../../web/map/wire.mjs';
import { MapPage, launch, startMap, tell } from './map_page.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const CENTRE = '#14/60.17/24.94';
const parked = { latitude: 60.17, longitude: 24.94 };

/** A page of its own; the test fails when the browser had something to complain about. */
async function open(t, server, options) {
  const map = await MapPage.open(browser, server, { hash: CENTRE, ...options });
  t.after(async () => {
    await map.context.close();
    assert.deepEqual(map.problems, []);
  });
  return map;
}

const settled = (map, count) => map.until(`traffic.visible.length === ${count} && traffic.visible.every((item) => item.vehicle.alpha === 1)`, `${count} vehicles`);
const near = (a, b, tolerance) => Math.abs(a - b) <= tolerance;
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const isColour = (pixel, hex) => pixel[3] > 200 && rgb(hex).every((value, i) => near(value, pixel[i], 24));
const COLOURS = { bus: '#0a6fc2', tram: '#00855a', metro: '#e05206' };

test('vehicles are drawn where they are, under zoom, turn and resize', async (t) => {
  const server = await startMap(t);
  const places = [{ id: '0022.00001', latitude: 60.172, longitude: 24.93, mode: 'bus' }, { id: '0040.00002', latitude: 60.169, longitude: 24.95, mode: 'tram', line: '9' },
    { id: '0050.00003', latitude: 60.168, longitude: 24.935, mode: 'metro', line: 'M1' }];
  for (const place of places) await tell(server, place);
  const map = await open(t, server);
  await settled(map, 3);

  const check = async (what) => {
    await map.frames(3);
    const drawn = await map.drawn();
    for (const { id, latitude, longitude, mode } of places) {
      const vehicle = drawn.find((item) => item.id === id);
      assert.ok(vehicle, `${what}: ${id} is drawn`);
      const wanted = await map.read(`map.project([${longitude}, ${latitude}])`);
      assert.ok(near(vehicle.x, wanted.x, 1.5) && near(vehicle.y, wanted.y, 1.5), `${what}: ${id} at ${vehicle.x},${vehicle.y}, not ${wanted.x},${wanted.y}`);
      const pixel = await map.pixel(wanted.x, wanted.y, 1);
      assert.ok(isColour(pixel, COLOURS[mode]), `${what}: ${mode} has the colour ${pixel}`);
    }
  };
  await check('as it opens');
  await map.look({ zoom: 13, center: [24.945, 60.171], bearing: 0 });
  await check('further out');
  await map.look({ zoom: 14.4, center: [24.94, 60.17], bearing: 130 });
  await check('turned');
  await map.page.setViewportSize({ width: 900, height: 620 });
  await map.until('scene.canvas.width === 900', 'the canvas has the new size');
  await map.look({ zoom: 13.5, center: [24.94, 60.17] });
  await check('smaller window');
  assert.equal((await map.pixel(40, 580)).at(-1), 0, 'where nothing is, nothing is drawn');
});

test('on a retina screen the canvas has as many pixels as the screen', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked });
  const map = await open(t, server, { deviceScaleFactor: 2 });
  await settled(map, 1);
  assert.deepEqual(await map.read('[scene.canvas.width, scene.canvas.height]'), [2360, 1520]);
  assert.ok(isColour(await map.pixel(590, 380, 1), COLOURS.bus));
});

test('a vehicle moves between its positions without a jump and arrives', async (t) => {
  const server = await startMap(t);
  const place = (i) => ({ id: '0022.00001', latitude: 60.17, longitude: 24.935 + i * 0.00018, speed: i < 5 ? 10 : 0 }); // 10 m apart
  await tell(server, place(0));
  const map = await open(t, server, { hash: '#16/60.17/24.936' });
  await settled(map, 1);
  await map.page.evaluate(() => {
    window.path = [];
    const note = (now) => {
      const item = window.crierMap.traffic.visible[0];
      if (item) window.path.push([now, item.x]);
      requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  for (let i = 1; i <= 5; i++) {
    await sleep(1000);
    await tell(server, place(i));
  }
  const goal = await map.read(`map.project([${place(5).longitude}, 60.17]).x`);
  await map.until(`Math.abs(traffic.visible[0].x - ${goal}) < 1`, 'it arrives');
  const path = await map.page.evaluate(() => window.path);
  const pixels = await map.read('scene.camera.pixels(10)'); // of its way in a second
  let [moved, fastest] = [0, 0];
  for (let i = 1; i < path.length; i++) {
    const [seconds, way] = [(path[i][0] - path[i - 1][0]) / 1000, Math.abs(path[i][1] - path[i - 1][1])];
    if (way > 0.01) moved++;
    fastest = Math.max(fastest, way / Math.max(seconds, 0.05) / pixels);
  }
  assert.ok(moved > 10, `it moved in ${moved} of ${path.length} frames, not five times`);
  assert.ok(fastest < 6, `never faster than 6 times its speed: ${fastest.toFixed(1)}`);
});

test('pointing shows what is known, clicking the way it took, and that goes on live', async (t) => {
  const server = await startMap(t);
  const now = Date.now();
  for (let i = 0; i <= 5; i++) await tell(server, { id: '0022.00007', latitude: 60.17, longitude: 24.93 + i * 0.002, at: now - 10_000 + i * 1000, heading: 90 });
  const map = await open(t, server);
  await settled(map, 1);
  const [{ x, y }] = await map.drawn();
  await map.page.mouse.move(x, y);
  const hover = map.page.locator('#hover');
  await hover.waitFor();
  for (const text of ['550', 'Itäkeskus', '0 km/h', '2 min late', '1020453', 'Nobina Finland', '0022.00007']) assert.match(await hover.textContent(), new RegExp(text));
  await map.page.mouse.click(x, y);
  await map.page.locator('#card').waitFor();
  await map.until('selection.trail.points.length === 6', 'the trail');
  assert.match(await map.page.locator('#card').textContent(), /Nobina Finland/);
  await map.page.mouse.move(20, 700);
  await map.frames(3);
  const between = await map.read('map.project([24.935, 60.17])');
  const pixel = await map.pixel(between.x, between.y, 1);
  assert.ok(isColour(pixel, '#d6246e'), `the way is drawn: ${pixel}`);
  await tell(server, { id: '0022.00007', latitude: 60.172, longitude: 24.94 });
  await map.until('selection.trail.points.length === 7', 'the trail goes on');
  await map.until('Math.abs(traffic.visible[0].y - map.project([24.94, 60.172]).y) < 1.5', 'it is there');
  const after = await map.read('map.project([24.94, 60.171])');
  assert.ok(isColour(await map.pixel(after.x, after.y, 1), '#d6246e'), 'so is the way to it');
  await map.screenshot('map-trail');
  await map.page.keyboard.press('Escape');
  assert.equal(await map.page.locator('#card').isVisible(), false);
  assert.equal(await map.read('selection.trail.points.length'), 0);
});

test('the zones of an organization, who is inside, and who enters and leaves', async (t) => {
  const server = await startMap(t);
  const kallio = { latitude: 60.1826, longitude: 24.9536 };
  const outside = { latitude: 60.195, longitude: 24.9536 };
  await tell(server, { id: '0012.00001', ...kallio });
  await tell(server, { id: '0012.00002', ...outside });
  await tell(server, { id: '0022.00003', ...outside });
  const map = await open(t, server, { hash: '#13/60.1826/24.9536' });
  await settled(map, 3);
  await map.page.click('#show-zones');
  await map.page.locator('#organization:not([disabled])').waitFor();
  await map.page.selectOption('#organization', '0012');
  const kallioTags = map.page.locator('.zone', { hasText: 'Kallio district' });
  await until(async () => /Kallio district \(1 vehicle\)0012\.00001/.test(await kallioTags.textContent()), 'who is inside');
  assert.match(await map.page.locator('.zone', { hasText: 'Railway Square' }).textContent(), /no vehicles in this zone/);
  assert.deepEqual(await map.read('zones.zones.map((zone) => zone.name)'), ['Airport', 'Kallio district', 'Railway Square']);
  await until(() => map.page.url().includes('zones=0012'), 'the organization is in the address');

  await map.look({ zoom: 13, center: [24.9536, 60.1826] });
  const edge = await map.read('[map.project([24.9536, 60.1826]), scene.camera.pixels(600, 60.1826)]');
  assert.ok((await map.pixel(edge[0].x - edge[1], edge[0].y, 3))[3] > 120, 'the circle is drawn');

  await tell(server, { id: '0022.00003', ...kallio }); // another organization's
  await tell(server, { id: '0012.00002', ...kallio });
  await until(async () => /\(2 vehicles\)/.test(await kallioTags.textContent()), 'one enters');
  const toast = map.page.locator('.toast.enter');
  assert.equal(await toast.textContent(), '0012.00002 entered Kallio district');
  assert.equal(await map.page.locator('#announcer').textContent(), '0012.00002 entered Kallio district');
  await map.screenshot('map-zones');
  await tell(server, { id: '0012.00002', ...outside });
  await until(async () => /\(1 vehicle\)/.test(await kallioTags.textContent()), 'it leaves');
  assert.match(await map.page.locator('#events').textContent(), /0012\.00002 left Kallio district.*0012\.00002 entered Kallio district/s);
  assert.equal(await map.page.locator('.toast', { hasText: '0022.00003' }).count(), 0);
});

test('filters: the page hides at once, the server sends no others, the address keeps them', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', latitude: 60.171, longitude: 24.93 });
  await tell(server, { id: '0040.00002', latitude: 60.17, longitude: 24.94, mode: 'tram', line: '9', headsign: 'Ilmala' });
  await tell(server, { id: '0040.00003', latitude: 60.169, longitude: 24.945, mode: 'tram', line: '4', headsign: 'Munkkiniemi' });
  const map = await open(t, server);
  await settled(map, 3);
  await map.page.click('#show-filter');
  await map.page.click('[data-filter=tram]');
  await settled(map, 2);
  await map.until('fleet.vehicles.size === 2', 'the server says that the bus is none of ours');
  await until(() => map.page.url().endsWith('?mode=tram'), 'the filter is in the address');
  await map.page.fill('#query', '9');
  await map.page.locator('#hits li', { hasText: 'Line 9' }).waitFor();
  await map.page.keyboard.press('Enter');
  await settled(map, 1);
  assert.deepEqual((await map.drawn()).map((item) => item.id), ['0040.00002']);
  assert.equal(await map.page.locator('#filter-count').textContent(), '1');
  await until(() => map.page.url().endsWith('?line=9'), 'the line is in the address');
  await map.page.reload();
  await map.page.waitForFunction(() => window.crierMap);
  await settled(map, 1);
  assert.equal((await map.drawn())[0].line, '9');
  await map.page.click('#show-filter');
  await map.page.click('#clear-filter');
  await map.until('fleet.size === 3', 'all again');
});

test('a line, a vehicle and a place are found, also beyond the view', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked });
  await tell(server, { id: '0018.00044', latitude: 60.29, longitude: 25.04, line: '717', headsign: 'Tikkurila' });
  const map = await open(t, server, { hash: '#15/60.17/24.94' });
  await settled(map, 1);
  await map.page.keyboard.press('/');
  await map.page.keyboard.type('717');
  await map.page.locator('#hits li', { hasText: 'Line 717' }).waitFor();
  await map.page.keyboard.press('ArrowDown');
  assert.equal(await map.page.locator('#query').getAttribute('aria-activedescendant'), 'hit-0');
  await map.page.keyboard.press('Enter');
  await map.until(`fleet.get('0018.00044') && Math.abs(map.getCenter().lng - 25.04) < 0.02`, 'the map goes there');
  await map.page.fill('#query', 'kallio');
  await map.page.keyboard.press('Enter');
  await map.until('Math.abs(map.getCenter().lat - 60.184) < 0.003 && !map.isMoving()', 'a place');
  await map.page.fill('#query', '0022.00001');
  await map.page.keyboard.press('Enter');
  await map.until(`selection.id === '0022.00001' && Math.abs(map.getCenter().lat - 60.17) < 0.002`, 'a vehicle that is not in view');
  await map.read('filters.set({ modes: [], lines: [], operators: [] })');
  await map.until(`traffic.visible.some((item) => item.vehicle.id === '0022.00001')`, 'it is shown');
});

test('a link leads to the same view, the same vehicle, followed', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked });
  const map = await open(t, server, { hash: '#15.00/60.17050/24.94100/20?vehicle=0022.00001&follow=1' });
  await map.until('selection.following && selection.data', 'chosen and followed');
  assert.ok(near(await map.read('map.getBearing()'), 20, 0.01));
  assert.match(await map.page.locator('#card').textContent(), /Following/);
  for (let i = 1; i <= 4; i++) {
    await tell(server, { id: '0022.00001', latitude: 60.17, longitude: 24.94 + i * 0.003, at: Date.now() + i });
    await sleep(700);
  }
  await map.until(`Math.abs(map.getCenter().lng - 24.952) < 0.004 && traffic.visible.length === 1`, 'the map has gone along');
  await until(() => /\?vehicle=0022\.00001&follow=1$/.test(map.page.url()), 'the address says it');
  await map.page.mouse.move(500, 300);
  await map.page.mouse.down();
  await map.page.mouse.move(560, 360, { steps: 5 });
  await map.page.mouse.up();
  await map.until('!selection.following', 'dragging the map ends it');
  await map.page.evaluate(() => { location.hash = '#13.00/60.20000/24.90000'; });
  await map.until('Math.abs(map.getZoom() - 13) < 0.01 && selection.id === null', 'a new address leads elsewhere');
});

test('reconnecting shows no flash: vehicles stay, and go on when it is back', async (t) => {
  const server = await startMap(t);
  for (let i = 0; i < 5; i++) await tell(server, { id: `0022.0000${i}`, latitude: 60.17, longitude: 24.93 + i * 0.004 });
  const map = await open(t, server);
  await settled(map, 5);
  await map.page.evaluate(() => {
    window.least = Infinity;
    const note = () => {
      const shown = window.crierMap.traffic.visible.filter((item) => item.vehicle.alpha > 0.99).length;
      window.least = Math.min(window.least, shown);
      requestAnimationFrame(note);
    };
    note();
  });
  await server.kill();
  await map.page.locator('#connection[data-state=waiting]').waitFor();
  assert.match(await map.page.locator('#connection').textContent(), /Connection lost.*next try in \d+ s.*Try now/s);
  await sleep(500);
  await server.start();
  await server.waitUntilReady();
  await map.page.click('#try-now').catch(() => {}); // it may have been faster by itself
  await map.page.locator('#connection[data-state=open], #connection[data-state=quiet]').waitFor();
  await tell(server, { id: '0022.00001', latitude: 60.172, longitude: 24.934, at: Date.now() });
  await map.until(`Math.abs(fleet.get('0022.00001').data.lat - 60172000) < 2`, 'it goes on');
  assert.equal(await map.read('fleet.size'), 5, 'the log brings back all');
  assert.equal(await map.page.evaluate(() => window.least), 5, 'none was gone in any frame');
});

test('the slider goes back in time, and Live returns', async (t) => {
  const server = await startMap(t, { module: { replay_step: 0 } });
  const now = Date.now();
  for (let i = 0; i <= 30; i++) await tell(server, { id: '0022.00001', latitude: 60.17, longitude: 24.93 + i * 0.0005, at: now - 60_000 + i * 2000, speed: 14 });
  const map = await open(t, server);
  await settled(map, 1);
  await map.page.locator('#time').evaluate((range) => {
    range.value = -40;
    range.dispatchEvent(new Event('input'));
  });
  await map.page.click('#play');
  assert.equal(await map.read('timeline.playing'), false);
  await map.until('traffic.visible.length === 1 && !timeline.isLive', 'the vehicle as it was');
  const wanted = await map.read(`map.project([24.93 + ((timeline.timeMs - ${now - 60_000}) / 2000) * 0.0005, 60.17])`);
  const [{ x }] = await map.drawn();
  assert.ok(near(x, wanted.x, 3), `it was at ${wanted.x}, drawn at ${x}`);
  assert.match(await map.page.locator('#time').getAttribute('aria-valuetext'), /^0 min (39|4\d) s ago$/);
  assert.equal(await map.page.locator('#connection').getAttribute('data-state'), 'replay');
  await map.page.selectOption('#speed', '4');
  await map.page.click('#play');
  await map.until(`traffic.visible[0]?.x > ${x} + 5`, 'time runs on');
  await map.page.locator('#time').evaluate((range) => {
    range.value = -500;
    range.dispatchEvent(new Event('input'));
  });
  await until(async () => /nothing recorded$/.test(await map.page.locator('#time-text').textContent()), 'before the first position');
  await map.page.click('#live');
  await map.until('timeline.isLive && traffic.visible.length === 1', 'live again');
  const newest = await map.read('map.project([24.945, 60.17]).x');
  assert.ok((await map.drawn())[0].x >= newest - 2);
});

test('far out vehicles become clusters with a number; a click looks closer', async (t) => {
  const server = await startMap(t);
  for (let i = 0; i < 12; i++) await tell(server, { id: `0022.000${10 + i}`, latitude: 60.17 + i * 0.0001, longitude: 24.94, mode: i % 3 ? 'bus' : 'tram' });
  const map = await open(t, server, { hash: '#9/60.17/24.94' });
  await map.until('traffic.clusters.length > 0 && traffic.clusters.reduce((sum, disc) => sum + disc.count, 0) + traffic.visible.length === 12', 'clusters');
  await sleep(1000); // they come to rest
  const { x, y, radius, count } = await map.read(`(({ x, y, radius, count }) => ({ x, y, radius, count }))(traffic.clusters[0])`);
  assert.ok(count >= 2 && (await map.pixel(x, y - radius + 3, 1))[3] > 200);
  await map.page.mouse.click(x, y);
  await map.until('map.getZoom() > 10.5 && traffic.clusters.length === 0 && traffic.visible.length === 12', 'closer');
});

test('the map can be used without seeing it and without a mouse', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', latitude: 60.171, longitude: 24.93 });
  await tell(server, { id: '0040.00002', latitude: 60.17, longitude: 24.94, mode: 'tram', line: '9', headsign: 'Ilmala' });
  const map = await open(t, server);
  await settled(map, 2);
  const nameless = await map.page.evaluate(() => [...document.querySelectorAll('button, input, select, a[href]')]
    .filter((element) => !element.closest('[hidden]'))
    .filter((element) => !(element.ariaLabel || element.title || element.textContent.trim() || element.labels?.length || element.querySelector('img[alt]')))
    .map((element) => element.outerHTML));
  assert.deepEqual(nameless, []);
  const twice = await map.page.evaluate(() => [...document.querySelectorAll('[id]')].map((element) => element.id).filter((id, i, all) => all.indexOf(id) !== i));
  assert.deepEqual(twice, []);
  await map.page.keyboard.press('Tab');
  assert.equal(await map.page.evaluate(() => document.activeElement.textContent), 'Skip to the list of vehicles');
  await map.page.locator('#show-list').focus();
  await map.page.keyboard.press('Enter');
  await until(async () => (await map.page.locator('#list li').count()) === 2, 'the list');
  assert.deepEqual(await map.page.locator('#list .row-title').allTextContents(), ['Ilmala', 'Itäkeskus']);
  assert.equal(await map.page.locator('#show-list').getAttribute('aria-expanded'), 'true');
  await map.page.locator('#list button').first().focus();
  await map.page.keyboard.press('Enter');
  assert.equal(await map.read('selection.id'), '0040.00002');
  await until(async () => (await map.page.locator('#announcer').textContent()) === 'Chosen: Tram 9 to Ilmala', 'it is read out');
  await map.page.keyboard.press('Escape');
  assert.equal(await map.page.locator('#list-panel').isVisible(), false);
  assert.equal(await map.page.evaluate(() => document.activeElement.id), 'show-list', 'the focus goes back');
  await map.page.keyboard.press('f');
  assert.equal(await map.read('selection.following'), true);
  await map.page.keyboard.press('Escape');
  assert.equal(await map.read('selection.id'), null);
  assert.equal(await map.page.locator('#connection-text').getAttribute('role'), 'status');
});

test('with reduced motion vehicles stand at their last position', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked, speed: 15 });
  const map = await open(t, server, { reducedMotion: 'reduce', hash: '#16/60.17/24.94' });
  await map.until('traffic.visible.length === 1', 'a vehicle');
  await sleep(600);
  const [{ x, y }] = await map.drawn();
  assert.ok(near(x, 590, 1) && near(y, 380, 1), `${x}, ${y}`);
});

test('dark and light, as the system or as chosen', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked });
  const map = await open(t, server, { colorScheme: 'dark' });
  await settled(map, 1);
  assert.ok(isColour(await map.pixel(590, 380, 1), '#58abf5'), 'dark by the system');
  assert.equal(await map.read(`map.getPaintProperty('land', 'fill-color')`), '#1b222b');
  await map.page.click('#theme');
  await map.frames(3);
  assert.ok(isColour(await map.pixel(590, 380, 1), COLOURS.bus), 'light by choice');
  assert.equal(await map.read(`map.getPaintProperty('land', 'fill-color')`), '#f7f5ef');
});

test('on a phone everything is within the screen', async (t) => {
  const server = await startMap(t);
  await tell(server, { id: '0022.00001', ...parked });
  const map = await open(t, server, { viewport: { width: 360, height: 720 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  await settled(map, 1);
  const inside = async (what) => {
    const outside = await map.page.evaluate(() => [...document.querySelectorAll('.box, .box button')].filter((element) => element.checkVisibility())
      .filter((element) => {
        const { left, right, top, bottom, width } = element.getBoundingClientRect();
        const scrolled = element.closest('.side') && !element.matches('.side');
        return width > 0 && !scrolled && (left < 0 || right > innerWidth || top < 0 || bottom > innerHeight + 1);
      }).map((element) => element.id || element.className));
    assert.deepEqual(outside, [], what);
    assert.equal(await map.page.evaluate(() => document.documentElement.scrollWidth), 360, what);
  };
  await inside('as it opens');
  const [{ x, y }] = await map.drawn();
  await map.page.touchscreen.tap(x + 8, y + 6);
  await map.page.locator('#card').waitFor();
  await inside('with the card');
  await map.page.tap('#card-close');
  await map.page.tap('#show-zones');
  await inside('with the zones');
  await map.screenshot('map-phone');
});

test('the view is told half a second after loading, then at most once a second, a tenth wider on each side', async (t) => {
  const server = await startMap(t);
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
  t.after(() => context.close());
  const page = await context.newPage();
  const sent = [];
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
    if (payload.readUInt32LE(0) === 101) sent.push({ at: Date.now(), box: Viewport.decode(payload.subarray(4)) });
  }));
  await page.goto(`${server.url}/map/${CENTRE}`);
  await until(() => sent.length === 1, 'the first view');
  const bounds = await page.evaluate(() => window.crierMap.map.getBounds().toArray());
  const [[west, south], [east, north]] = bounds;
  const { southWest, northEast, form, notify } = sent[0].box;
  assert.ok(near(southWest.longitude, west - (east - west) / 10, 1e-9) && near(northEast.latitude, north + (north - south) / 10, 1e-9), JSON.stringify(sent[0].box));
  assert.deepEqual([form, notify], ['vehicles', true]);
  await page.evaluate(async () => {
    for (let i = 0; i < 60; i++) {
      window.crierMap.map.jumpTo({ center: [24.94 + i * 0.0005, 60.17] });
      await new Promise((done) => setTimeout(done, 50));
    }
  });
  const goal = await page.evaluate(() => window.crierMap.map.getBounds().getWest());
  await until(() => sent.at(-1).box.southWest.longitude > goal - 0.02, 'the last view');
  const pauses = sent.slice(1).map(({ at }, i) => at - sent[i].at);
  assert.ok(sent.length >= 3 && pauses.every((ms) => ms > 900), `pauses of ${pauses} ms`);
  await sleep(1500);
  const count = sent.length;
  await page.evaluate(() => window.crierMap.map.fire('move'));
  await sleep(1500);
  assert.equal(sent.length, count, 'the same view is not told twice');
});

test('tiles from elsewhere are shown when the configuration allows their host, and only then', async (t) => {
  const pixel = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
  let asked = 0;
  const tiles = createServer((request, response) => {
    asked++;
    response.writeHead(200, { 'content-type': 'image/png', 'access-control-allow-origin': '*' }).end(pixel);
  });
  await new Promise((done) => tiles.listen(0, '127.0.0.1', done));
  t.after(() => {
    tiles.closeAllConnections();
    tiles.close();
  });
  const origin = `http://127.0.0.1:${tiles.address().port}`;
  const query = `?tiles=${encodeURIComponent(`${origin}/{z}/{x}/{y}.png`)}&attribution=${encodeURIComponent('<img src=x onerror=alert(1)>© Somebody')}`;
  const server = await startMap(t, { web_sources: [origin] });
  const map = await open(t, server, { query });
  await until(() => asked > 0, 'tiles are fetched');
  await until(async () => (await map.page.locator('.maplibregl-ctrl-attrib').textContent()).includes('<img src=x onerror=alert(1)>© Somebody'), 'the attribution is text');
  assert.equal(await map.page.locator('.maplibregl-ctrl-attrib img').count(), 0);

  await map.context.close(); // or its last tiles would be counted below
  const strict = await startMap(t);
  asked = 0;
  const refused = await MapPage.open(browser, strict, { query });
  t.after(() => refused.context.close());
  await until(() => refused.problems.some((problem) => /Content Security Policy/.test(problem)), 'the policy refuses');
  assert.equal(asked, 0);
});

test('the page says what is missing when the map library is not installed', async (t) => {
  const server = await startMap(t);
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.route('**/vendor/**', (route) => route.fulfill({ status: 404, body: '' }));
  await page.goto(`${server.url}/map/`);
  assert.match(await page.getByRole('alert').filter({ hasText: 'library' }).textContent(), /\.\/run\.sh/);
});

test('the simulated city lives: it moves, opens its doors, and the page says that it is simulated', async (t) => {
  const server = await startMap(t, { interval_ms: 500, module: { simulated: true, attribution: 'simulated vehicles' } });
  const city = spawn(join(buildDir, 'crier-hfp'), ['simulate', '--vehicles', '600', '--to', server.url, '--api-key-file', join(server.dir, 'api.key'), '--with-parent'],
    { stdio: 'ignore' });
  t.after(() => city.kill());
  const map = await open(t, server, { hash: '#10.6/60.21/24.93' });
  await map.until('traffic.visible.length > 250', 'a city full of vehicles');
  const placed = () => map.read('Object.fromEntries(traffic.visible.map(({ vehicle, x, y }) => [vehicle.id, [x, y, vehicle.data.time_ms]]))');
  const before = await placed();
  await sleep(6000);
  const after = await placed();
  const both = Object.keys(before).filter((id) => after[id]);
  const moved = both.filter((id) => Math.hypot(before[id][0] - after[id][0], before[id][1] - after[id][1]) > 0.5);
  assert.ok(moved.length > both.length / 4, `${moved.length} of ${both.length} have moved`);
  assert.ok(both.filter((id) => after[id][2] > before[id][2]).length > both.length * 0.8, 'most have told where they are');
  assert.ok(await map.read('traffic.visible.some(({ vehicle }) => vehicle.doorsOpen)'), 'open doors');
  assert.ok((await map.read('new Set(traffic.visible.map(({ vehicle }) => vehicle.data.mode)).size')) >= 4, 'several modes');
  assert.ok(await map.page.locator('#simulated').isVisible());
  assert.match(await map.page.locator('.maplibregl-ctrl-attrib').textContent(), /simulated vehicles.*GSHHG/);
  assert.match(await map.page.locator('#connection').textContent(), /Live.*\d+ vehicles.*\d\.\d s/s);
  const [perSecond, drawMs] = await map.read('[scene.framesPerSecond, scene.medianDrawMs]');
  t.diagnostic(`${Object.keys(after).length} vehicles: ${perSecond.toFixed(1)} frames/s, drawing one takes ${drawMs.toFixed(1)} ms`);
  await map.screenshot('map-city');
});
