// A double of the server for tests that count frames: the pages' files, and as many vehicles as asked for, each one position a second.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { WebSocketServer } from 'ws';
import { root } from '../../lib/crier.mjs';
import { TYPE, Viewport, encode } from '../../../web/map/wire.mjs';

const TYPES = { '.html': 'text/html', '.mjs': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.geojson': 'application/geo+json' };
const TICKS_PER_SECOND = 4;
const HUBS = [[24.9414, 60.1719], [24.933, 60.199], [24.9635, 60.2935], [25.078, 60.21], [24.813, 60.22], [24.8105, 60.1785],
  [25.0448, 60.2935], [24.66, 60.205], [25.0285, 60.188], [24.8815, 60.1585], [24.739, 60.16], [24.963, 60.187], [24.857, 60.262], [25.14, 60.208]];
const METRES_PER_DEGREE = 111_200;
const narrow = Math.cos((60.2 * Math.PI) / 180);

/** A bent way between two hubs, its points some 60 m apart. */
function newWay(random) {
  const pick = () => HUBS[Math.floor(random() * HUBS.length)].map((degrees) => degrees + (random() - 0.5) * 0.05);
  const [[x0, y0], [x1, y1], bend] = [pick(), pick(), (random() - 0.5) * 0.4];
  const length = Math.hypot((x1 - x0) * narrow, y1 - y0) * METRES_PER_DEGREE;
  const point = (t) => {
    const side = Math.sin(t * Math.PI) * bend;
    return [x0 + (x1 - x0) * t - (y1 - y0) * side, y0 + (y1 - y0) * t + ((x1 - x0) * side) / 2];
  };
  return { length: Math.max(length, 300), point };
}

class FakeVehicle {
  constructor(number, random) {
    this.random = random;
    this.mode = number % 10 < 6 ? 0 : number % 10 < 8 ? 1 : number % 10 === 8 ? 4 : (number / 10) % 4 < 1 ? 3 : 2;
    this.id = `${String([12, 18, 22, 40, 50, 90][number % 6]).padStart(4, '0')}.${String(1000 + number).padStart(5, '0')}`;
    this.line = String(1 + Math.floor(random() * 730));
    this.cruise = 6 + random() * 10;
    this.stopLeft = 0;
    this.take(newWay(random), random());
  }

  take(way, at = 0) {
    [this.way, this.at] = [way, at];
  }

  step(seconds) {
    if ((this.stopLeft -= seconds) <= 0) {
      this.at += (this.cruise * seconds) / this.way.length;
      if (this.random() < 0.02) this.stopLeft = 8;
    }
    if (this.at >= 1) this.take(newWay(this.random));
  }

  data(timeMs) {
    const [lon, lat] = this.way.point(this.at);
    const [nextLon, nextLat] = this.way.point(this.at + 0.002);
    const heading = (Math.atan2((nextLon - lon) * narrow, nextLat - lat) * 180) / Math.PI;
    const stopped = this.stopLeft > 0;
    return { id: this.id, lat: Math.round(lat * 1e6), lon: Math.round(lon * 1e6), heading: Math.round((heading + 360) % 360),
      speed: stopped ? 0 : Math.round(this.cruise * 100), flags: stopped ? 5 : 4, time_ms: timeMs, mode: this.mode, line: this.line,
      headsign: 'Rautatientori', delay: Math.round(this.cruise * 10 - 120), next_stop: '1020453', occupancy: 0, route: `1${this.line}`, direction: 1 };
  }
}

function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function serveFile(request, response) {
  let path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
  if (path.endsWith('/')) path += 'index.html';
  const file = join(root, 'web', path);
  if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
  createReadStream(file).pipe(response);
}

class Viewer {
  constructor(socket) {
    this.socket = socket;
    this.box = null;
    this.inside = new Set();
    socket.binaryType = 'arraybuffer';
    socket.on('message', (data) => this.onMessage(data));
  }

  onMessage(data) {
    const type = new DataView(data).getUint32(0, true);
    if (type === TYPE.VIEWPORT) this.box = Viewport.decode(new Uint8Array(data, 4));
    if (type === 0xfffffff4) this.socket.send(encode(0xfffffffe, { ok: {}, ...JSON.parse(new TextDecoder().decode(data.slice(4))) }));
  }

  sees({ lat, lon, mode }) {
    const { southWest, northEast } = this.box;
    return lat >= southWest.latitude * 1e6 && lat <= northEast.latitude * 1e6 && lon >= southWest.longitude * 1e6 && lon <= northEast.longitude * 1e6
      && (this.box.modes.length === 0 || this.box.modes.includes(['bus', 'tram', 'train', 'ferry', 'metro'][mode]));
  }

  tell(all, changed, timeMs) {
    if (!this.box) return;
    const visible = all.filter((data) => this.sees(data));
    const now = new Set(visible.map((data) => data.id));
    const vehicles = visible.filter((data) => changed.has(data.id) || !this.inside.has(data.id));
    const left = [...this.inside].filter((id) => !now.has(id));
    const reset = this.inside.size === 0;
    this.inside = now;
    this.socket.send(encode(TYPE.VEHICLES, { reset, time_ms: timeMs, vehicles, left }));
  }
}

/** Starts it; options: vehicles, port. Gives {url, stop()}. */
export async function startFakeCity({ vehicles: count = 2500, port = 0 } = {}) {
  const random = generator(42);
  const vehicles = Array.from({ length: count }, (_, i) => new FakeVehicle(i, random));
  const latest = new Map(vehicles.map((v) => [v.id, v.data(Date.now())]));
  const viewers = new Set();
  const server = createServer(serveFile);
  const sockets = new WebSocketServer({ server, path: '/ws' });
  sockets.on('connection', (socket) => {
    const viewer = new Viewer(socket);
    viewers.add(viewer);
    socket.on('close', () => viewers.delete(viewer));
  });
  let tick = 0;
  const timer = setInterval(() => {
    const [now, changed] = [Date.now(), new Set()];
    for (let i = tick++ % TICKS_PER_SECOND; i < vehicles.length; i += TICKS_PER_SECOND) {
      vehicles[i].step(1);
      latest.set(vehicles[i].id, vehicles[i].data(now));
      changed.add(vehicles[i].id);
    }
    for (const viewer of viewers) viewer.tell([...latest.values()], changed, now);
  }, 1000 / TICKS_PER_SECOND);
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      clearInterval(timer);
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
