// How many frames a second the map draws with 2,500 vehicles, against a double of the server. Printed, not judged: a busy machine is no fault.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep } from '../lib/crier.mjs';
import { startFakeCity } from './lib/fake_city.mjs';
import { MapPage, launch } from './map_page.mjs';

const VEHICLES = 2500;
const MEASURE_MS = 4000;
let browser;
let city;
before(async () => {
  browser = await launch();
  city = await startFakeCity({ vehicles: VEHICLES });
});
after(async () => {
  await browser.close();
  await city.stop();
});

/** Frames a second and the median of what drawing one took, counted by the page itself. */
async function measure(map) {
  const [from, started] = [await map.read('scene.frames'), Date.now()];
  await sleep(MEASURE_MS);
  const [frames, drawMs] = await map.read('[scene.frames, scene.medianDrawMs]');
  return { frames: frames - from, perSecond: ((frames - from) * 1000) / (Date.now() - started), drawMs };
}

for (const [title, options] of [
  ['vehicles, the city', { zoom: 10.6, center: [24.9, 60.215] }],
  ['vehicles, the city, retina', { zoom: 10.6, center: [24.9, 60.215], deviceScaleFactor: 2 }],
  ['clusters, the region', { zoom: 9.6, center: [24.9, 60.215] }],
  ['lines written beside, the centre', { zoom: 14, center: [24.941, 60.172] }],
]) {
  test(`frames a second with 2,500 vehicles: ${title}`, async (t) => {
    const { zoom, center, ...context } = options;
    const map = await MapPage.open(browser, city, { hash: `#${zoom}/${center[1]}/${center[0]}`, viewport: { width: 1600, height: 900 }, ...context });
    t.after(() => map.context.close());
    await map.until('fleet.size > 30', 'vehicles');
    await sleep(1500); // pictures are painted, the first view is here
    const { frames, perSecond, drawMs } = await measure(map);
    const [size, visible] = await map.read('[fleet.size, traffic.visible.length]');
    t.diagnostic(`${title}: ${perSecond.toFixed(1)} frames/s, drawing one takes ${drawMs.toFixed(1)} ms (median), ${size} vehicles here, ${visible} drawn as such`);
    assert.ok(frames > 4, `${frames} frames`);
    assert.ok(drawMs > 0, 'drawing is measured');
    if (zoom > 10 && zoom < 11) assert.ok(visible > VEHICLES / 2, `${visible} drawn`);
    assert.deepEqual(map.problems.filter((problem) => !problem.includes('404')), []);
  });
}

test('what left the view is forgotten, and nothing grows', async (t) => {
  const map = await MapPage.open(browser, city, { hash: '#10.6/60.215/24.9' });
  t.after(() => map.context.close());
  await map.until('fleet.size > 1200', 'the city');
  await map.look({ zoom: 15, center: [24.941, 60.172] });
  await map.until('fleet.size < 200 && fleet.vehicles.size < 220', 'only the centre is kept');
  await map.look({ zoom: 10.6, center: [24.9, 60.215] });
  await map.until('fleet.size > 1200', 'the city again');
});
