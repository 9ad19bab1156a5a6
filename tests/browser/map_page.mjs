// What the tests of the map share: a page of it in Debian's chromium, and what can be read from it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, startCrier, until } from '../lib/crier.mjs';
import { artifactDir, launch } from './chat_page.mjs';

export { launch };

// While the server is away requests fail, as they should; drivers without a GPU say that they are slow, and so is
// reading pixels, which only the tests do.
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection to|GPU stall|willReadFrequently|WebGL|swiftshader/i;

export class MapPage {
  /** Options: hash, query, and those of a browser context. `problems` collects what the browser complains about. */
  static async open(browser, server, { hash = '', query = '', ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, locale: 'en-GB', ...options });
    const map = new MapPage(await context.newPage(), context);
    await map.page.goto(`${server.url}/map/${query}${hash}`);
    await map.page.waitForFunction(() => window.crierMap);
    return map;
  }

  constructor(page, context) {
    this.page = page;
    this.context = context;
    this.problems = [];
    page.on('pageerror', (error) => this.problems.push(error.stack ?? String(error)));
    page.on('console', (message) => {
      const text = `${message.text()} ${message.location().url}`;
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(text)) this.problems.push(text);
    });
  }

  /** Runs in the page with its parts: {map, fleet, scene, traffic, ...}. */
  read(expression) {
    return this.page.evaluate(`(({ map, fleet, scene, traffic, feed, zones, selection, timeline, replay, filters }) => ${expression})(window.crierMap)`);
  }

  until(expression, what) {
    return until(() => this.read(expression), what);
  }

  /** The camera, without an animation. */
  async look({ zoom, center, bearing = 0 }) {
    await this.read(`map.jumpTo(${JSON.stringify({ zoom, center, bearing })}) && null`);
    await this.frames(2);
  }

  frames(count) {
    return this.page.evaluate((left) => new Promise((done) => {
      const next = () => (left-- > 0 ? requestAnimationFrame(next) : done());
      next();
    }), count);
  }

  /** Vehicles as they are drawn: [{id, x, y, heading, longitude, latitude}] */
  drawn() {
    return this.read(`traffic.visible.map(({ vehicle, x, y }) => ({ id: vehicle.id, x, y, heading: vehicle.heading, alpha: vehicle.alpha,
      longitude: vehicle.data.lon / 1e6, latitude: vehicle.data.lat / 1e6, line: vehicle.data.line, mode: vehicle.data.mode }))`);
  }

  /** Colour of the overlay at a point in CSS pixels: [red, green, blue, alpha], the strongest within `reach` pixels. */
  pixel(x, y, reach = 2) {
    return this.read(`((context, ratio) => {
      const side = Math.max(1, Math.round(${reach} * 2 * ratio));
      const { data } = context.getImageData(Math.round((${x} - ${reach}) * ratio), Math.round((${y} - ${reach}) * ratio), side, side);
      let best = [0, 0, 0, 0];
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > best[3]) best = [...data.slice(i, i + 4)];
      return best;
    })(scene.context, devicePixelRatio)`);
  }

  async screenshot(name) {
    mkdirSync(artifactDir, { recursive: true });
    const path = join(artifactDir, `${name}.png`);
    await this.page.screenshot({ path });
    return path;
  }
}

/** The map on the embedded log, as the simulator feeds it; `module` are further keys of the module. */
export function mapConfig({ interval_ms = 100, module = {}, web_sources = [] } = {}) {
  return {
    server: { web: join(root, 'web'), web_sources },
    bridge: [{ name: 'log', driver: 'embedded', servers: 'data/hfp.db' }],
    namespace: [
      { name: 'vehicles', keyed: true, key_ttl: '5m', history: 0, behind: 'conflate', interval_ms, type: 107 },
      { name: 'geofence', history: 200, type: 103 },
      { name: 'counts', keyed: true, history: 0, behind: 'conflate', type: 106 },
      { name: 'hfp', subscribe: false, rest: false, history: 0 },
    ],
    sink: [{ channel: 'hfp:feed', bridge: 'log', topic: 'hfp' }],
    source: [{ bridge: 'log', topic: 'hfp', from: 'history', channel: 'vehicles:all', transform: 'hfp' }],
    module: [{ name: 'realtimemap', ...module }],
  };
}

export const startMap = (t, options) => startCrier({ t, config: mapConfig(options) });

/** One message of the feed. `at` in ms; the rest has defaults. Resolves when the server's log has it. */
export function tell(server, { id, latitude, longitude, at = Date.now(), mode = 'bus', line = '550', headsign = 'Itäkeskus', heading = 90,
  speed = 0, doors = 0, delay = -125, route = `2${line}` }) {
  const [operator, vehicle] = id.split('.');
  const topic = `/hfp/v2/journey/ongoing/vp/${mode}/${operator}/${vehicle}/${route}/1/${headsign}/11:26/1020453/5/60;24/19/73/44`;
  const data = { VP: { desi: line, dir: '1', oper: Number(operator), veh: Number(vehicle), tst: new Date(at).toISOString(), tsi: Math.floor(at / 1000),
    spd: speed, hdg: heading, lat: latitude, long: longitude, acc: 0, dl: delay, odo: 1, drst: doors, oday: '2026-11-21', start: '11:26', loc: 'GPS',
    stop: 1020453, route, occu: 0 } };
  return server.api('publish', { channel: 'hfp:feed', data, tags: { topic } });
}
