// Parts of the map page that need no browser: the wire, motion between positions, the address, what is said of a vehicle.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayText, factsOf, titleOf } from '../../web/map/describe.mjs';
import { Fleet } from '../../web/map/fleet.mjs';
import { Camera, latitudeOf, longitudeOf, mercatorX, mercatorY, metreAt, widen } from '../../web/map/geo.mjs';
import { message } from '../../web/map/protobuf.mjs';
import { Vehicle } from '../../web/map/vehicle.mjs';
import { formatView, parseView } from '../../web/map/view.mjs';
import { Batch, FLAG, Notification, TYPE, Viewport, decode, encode } from '../../web/map/wire.mjs';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bus = { id: '0022.01400', lat: 60_170_000, lon: 24_940_000, heading: 90, speed: 1000, flags: 0, time_ms: 1_000_000, mode: 0, line: '550',
  headsign: 'Itäkeskus', delay: -125, next_stop: '1020453', occupancy: 20, route: '2550', direction: 1 };

test('protobuf: bytes are those of the specification', () => {
  const Sample = message({ number: [1, 'uint32'], zigzag: [2, 'sint32'], text: [3, 'string'], on: [4, 'bool'], many: [5, ['uint32']], real: [6, 'double'] });
  assert.equal(hex(Sample.encode({ number: 150 })), '089601');
  assert.equal(hex(Sample.encode({ zigzag: -1 })), '1001');
  assert.equal(hex(Sample.encode({ zigzag: 2_147_483_647 })), '10feffffff0f');
  assert.equal(hex(Sample.encode({ text: 'testing' })), '1a0774657374696e67');
  assert.equal(hex(Sample.encode({ real: 1 })), '31000000000000f03f');
  assert.equal(Sample.encode({ number: 0, zigzag: 0, text: '', on: false, many: [], real: 0 }).length, 0);
  assert.deepEqual(Sample.decode(Buffer.from('2a0401029601', 'hex')).many, [1, 2, 150], 'packed');
  assert.deepEqual(Sample.decode(Buffer.from('280128022803', 'hex')).many, [1, 2, 3], 'not packed');
  assert.equal(Sample.decode(Buffer.from('ba0603616263089601', 'hex')).number, 150, 'unknown fields are skipped');
});

test('protobuf: what is cut off or broken is refused, never read past its end', () => {
  const whole = Batch.encode({ reset: true, time_ms: 1_795_000_000_123, vehicles: [bus, { ...bus, id: 'b', lat: -1, delay: 0 }], left: ['c', 'd'] });
  const read = Batch.decode(whole);
  assert.deepEqual([read.reset, read.time_ms, read.left], [true, 1_795_000_000_123, ['c', 'd']]);
  assert.deepEqual(read.vehicles[0], bus);
  let refused = 0;
  for (let length = 0; length < whole.length; length++) {
    try {
      Batch.decode(whole.subarray(0, length));
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
      refused++;
    }
  }
  assert.ok(refused > whole.length / 2);
  assert.throws(() => Batch.decode(Buffer.from('ffffffffffffffffffffff', 'hex')), RangeError);
  assert.throws(() => Batch.decode(Buffer.from('0f', 'hex')), RangeError, 'wire type 7');
});

test('wire: a viewport and a notification go there and back; what is no message is none', () => {
  const viewport = { southWest: { longitude: 24.9, latitude: 60.1 }, northEast: { longitude: 25, latitude: 60.2 }, modes: ['tram'], lines: [],
    operators: ['0040'], form: 'vehicles', notify: true };
  const bytes = encode(TYPE.VIEWPORT, viewport);
  assert.equal(new DataView(bytes.buffer).getUint32(0, true), 101);
  assert.deepEqual(Viewport.decode(bytes.subarray(4)), viewport);
  const notification = { vehicle_id: '0012.00001', org_id: '0012', org_name: 'Ö', zone_name: 'Kallio district', event: 'Enter' };
  const whole = encode(TYPE.NOTIFICATION, notification);
  assert.deepEqual(decode(whole.buffer), { type: TYPE.NOTIFICATION, payload: notification });
  assert.deepEqual(Notification.decode(Notification.encode(notification)), notification);
  assert.deepEqual(decode(encode(0xfffffff4, {}, 'r1').buffer), { type: 0xfffffff4, id: 'r1', channel: undefined, payload: { id: 'r1' } });
  for (const bad of ['text', new ArrayBuffer(3), Uint8Array.of(1, 0, 0, 0, 9).buffer, Uint8Array.of(104, 0, 0, 0, 255).buffer, Uint8Array.of(255, 255, 255, 255, 123).buffer]) assert.equal(decode(bad), null);
});

test('places: degrees and the map', () => {
  assert.ok(Math.abs(longitudeOf(mercatorX(24.9384)) - 24.9384) < 1e-9);
  assert.ok(Math.abs(latitudeOf(mercatorY(60.1699)) - 60.1699) < 1e-9);
  const north = (mercatorY(60.17) - mercatorY(60.18)) / metreAt(60.175);
  assert.ok(Math.abs(north - 1113) < 2, 'a hundredth of a degree to the north');
  assert.deepEqual(widen({ west: 10, south: 50, east: 20, north: 60 }, 0.1), { west: 9, south: 49, east: 21, north: 61 });
  assert.equal(widen({ west: -179, south: -84, east: 179, north: 84 }, 0.1).north, 85);
});

test('camera: a turned map puts places where they belong', () => {
  const map = (bearing) => ({ getCenter: () => ({ lng: 25, lat: 60 }), getZoom: () => 3, getBearing: () => bearing });
  const camera = new Camera();
  const east = [mercatorX(25) + 100 / 4096, mercatorY(60)]; // 100 px to the east at zoom 3
  for (const [bearing, x, y] of [[0, 500, 300], [90, 400, 200], [180, 300, 300], [-90, 400, 400]]) {
    camera.read(map(bearing), 800, 600);
    assert.ok(Math.abs(camera.screenX(...east) - x) < 1e-6 && Math.abs(camera.screenY(...east) - y) < 1e-6, `bearing ${bearing}`);
  }
});

/** Moves a vehicle frame by frame; gives the largest step in metres that a frame of 16 ms took. */
function largestStep(vehicle, from, to) {
  let largest = 0;
  let [x, y] = [vehicle.x, vehicle.y];
  for (let now = from; now <= to; now += 16) {
    vehicle.advance(now);
    largest = Math.max(largest, Math.hypot(vehicle.x - x, vehicle.y - y) / metreAt(60.17));
    [x, y] = [vehicle.x, vehicle.y];
  }
  return largest;
}

const eastOf = (metres, more = {}) => ({ ...bus, lon: Math.round(bus.lon + (metres / 111_320 / Math.cos((60.17 * Math.PI) / 180)) * 1e6), ...more });

test('motion: positions that come late, early and beside the way make no jump', () => {
  const vehicle = new Vehicle(bus, 0, 300);
  let largest = 0;
  let at = 0;
  for (const [wait, metres, north] of [[1000, 10, 0], [1400, 24, 5], [500, 29, -4], [1000, 39, 0], [2600, 65, 3], [1000, 75, 0]]) {
    largest = Math.max(largest, largestStep(vehicle, at, at + wait));
    at += wait;
    vehicle.update(eastOf(metres, { time_ms: bus.time_ms + at, lat: bus.lat + north * 9 }), at, 300);
  }
  largest = Math.max(largest, largestStep(vehicle, at, at + 3000));
  assert.ok(largest > 0.1 && largest < 0.16 * 6, `${largest} m in a frame; 0.16 m is its speed`);
});

test('motion: a vehicle is where its last position says, carried on by its speed', () => {
  const vehicle = new Vehicle(bus, 0, 500);
  vehicle.advance(0);
  assert.ok(Math.abs((vehicle.x - mercatorX(24.94)) / metreAt(60.17) - 5) < 0.05, 'half a second old, 10 m/s: 5 m on');
  vehicle.advance(1000);
  assert.ok(Math.abs((vehicle.x - mercatorX(24.94)) / metreAt(60.17) - 15) < 0.05);
  vehicle.advance(60_000);
  const far = (vehicle.x - mercatorX(24.94)) / metreAt(60.17);
  assert.ok(far < 30, `without news it rolls out and waits: ${far} m`);
  const old = new Vehicle(bus, 0, 3_600_000);
  assert.ok((old.x - mercatorX(24.94)) / metreAt(60.17) <= 20, 'an old position is not carried on for an hour');
});

test('motion: with open doors and without a fix it stands', () => {
  for (const flags of [FLAG.DOORS_OPEN, FLAG.NO_FIX]) {
    const vehicle = new Vehicle({ ...bus, flags }, 0, 500);
    vehicle.advance(5000);
    assert.equal(vehicle.x, mercatorX(24.94));
  }
});

test('motion: a jump that nobody can drive is not drawn as a streak', () => {
  const vehicle = new Vehicle(bus, 0, 0);
  vehicle.advance(1000);
  vehicle.update(eastOf(5000, { time_ms: bus.time_ms + 1000, speed: 0 }), 1000, 0);
  assert.ok(Math.abs(vehicle.x - mercatorX(eastOf(5000).lon / 1e6)) < 1e-12, 'it is there at once');
  assert.equal(vehicle.alpha, 0, 'and fades in');
  vehicle.advance(2000);
  assert.equal(vehicle.alpha, 1);
});

test('motion: it turns the short way, and an older position changes nothing', () => {
  const vehicle = new Vehicle({ ...bus, heading: 350 }, 0, 0);
  vehicle.update({ ...bus, heading: 10, time_ms: bus.time_ms + 1000 }, 1000, 0);
  for (let now = 1000; now < 2200; now += 50) {
    vehicle.advance(now);
    const turned = ((vehicle.heading % 360) + 540) % 360 - 180;
    assert.ok(turned >= -10.001 && turned <= 10.001, `heading ${vehicle.heading}`);
  }
  const { x } = vehicle;
  vehicle.update(eastOf(-300), 2200, 0);
  assert.equal(vehicle.data.heading, 10);
  assert.ok(Math.abs(vehicle.x - x) / metreAt(60.17) < 2);
});

test('fleet: a snapshot replaces what is shown without taking away what stays', () => {
  const fleet = new Fleet();
  const batch = (vehicles, more) => ({ reset: false, time_ms: 0, left: [], vehicles, ...more });
  fleet.apply(batch([bus, { ...bus, id: 'b' }], { reset: true, time_ms: 1_000_000 }), 0, 1_000_000);
  const kept = fleet.get(bus.id);
  fleet.apply(batch([{ ...bus, time_ms: bus.time_ms + 1000 }, { ...bus, id: 'c' }], { reset: true, time_ms: 1_001_000 }), 1000, 1_001_000);
  assert.equal(fleet.get(bus.id), kept, 'the same one goes on');
  assert.equal(fleet.size, 2);
  fleet.advance(1100);
  assert.equal(fleet.vehicles.size, 3, 'b fades out');
  fleet.advance(2000);
  assert.deepEqual([...fleet.vehicles.keys()], [bus.id, 'c']);
  fleet.apply(batch([], { left: ['c', 'unknown'] }), 2000, 1_002_000);
  fleet.advance(3000);
  assert.equal(fleet.vehicles.size, 1);
});

test('fleet: a recording that begins anew goes on, and a wrong clock of one vehicle misleads nobody', () => {
  const fleet = new Fleet();
  const at = (time_ms, more) => ({ reset: false, time_ms: 1_795_000_000_000, left: [], vehicles: [{ ...bus, time_ms, ...more }] });
  fleet.apply(at(1_700_000_600_000), 0, 1_795_000_000_000);
  fleet.apply(at(1_700_000_000_000, { lat: 60_200_000 }), 1000, 1_795_000_001_000);
  assert.equal(fleet.get(bus.id).data.lat, 60_200_000);
  fleet.apply(at(1_795_090_000_000, { id: 'wrong' }), 2000, 1_795_000_002_000);
  assert.equal(fleet.newestMs, 1_700_000_600_000);
  assert.equal(fleet.feedTime(5000), 1_700_000_605_000, 'the clock of the positions runs on');
  fleet.apply({ ...at(1_700_000_001_000), reset: true }, 6000, 1_795_000_006_000);
  assert.equal(fleet.feedTime(6000), 1_700_000_001_000);
});

test('fleet: memory has a bound', () => {
  const fleet = new Fleet();
  const many = Array.from({ length: 20_500 }, (_, i) => ({ ...bus, id: `v${i}` }));
  fleet.apply({ reset: false, time_ms: 0, vehicles: many.slice(0, 10_000), left: [] }, 0, 0);
  fleet.apply({ reset: false, time_ms: 0, vehicles: many.slice(10_000), left: [] }, 1000, 0);
  assert.equal(fleet.vehicles.size, 20_000);
  assert.equal(fleet.get('v0'), undefined, 'the one that was silent for longest went');
  assert.ok(fleet.get('v20499'));
});

test('fleet: the age of the newest position does not depend on the clock of the page', () => {
  const fleet = new Fleet();
  const wrong = 1_795_000_000_000 - 7_200_000;
  fleet.apply({ reset: false, time_ms: 1_795_000_000_000, vehicles: [{ ...bus, time_ms: 1_794_999_999_200 }], left: [] }, 0, wrong);
  assert.equal(fleet.ageMs(wrong), 800);
  assert.equal(fleet.ageMs(wrong + 500), 1300);
});

test('address: a view goes there and back, and broken ones are ignored', () => {
  const view = { zoom: 13.5, center: { lng: 24.94, lat: 60.17 }, bearing: 30, vehicle: '0022.01400', follow: true, modes: ['tram', 'bus'], lines: ['550'], operators: ['0040'], zones: '0012' };
  const text = formatView(view);
  assert.equal(text, '#13.50/60.17000/24.94000/30?vehicle=0022.01400&follow=1&mode=tram,bus&line=550&operator=0040&zones=0012');
  const back = parseView(text);
  assert.deepEqual(back, { camera: { zoom: 13.5, center: [24.94, 60.17], bearing: 30 }, vehicle: '0022.01400', follow: true, modes: ['tram', 'bus'], lines: ['550'], operators: ['0040'], zones: '0012' });
  for (const bad of ['', '#', '#x/y/z', '#12/91/25', '#12/60', '#12//25', '#99/60/25', '#%E0%A4%A', '#12/NaN/25', '#lobby']) assert.equal(parseView(bad).camera, null, bad);
  assert.deepEqual(parseView('#?line=,,550,').lines, ['550']);
  assert.equal(parseView(`#?line=${'a,'.repeat(500)}`).lines.length, 50);
});

test('words: what is known of a vehicle, and nothing that is not', () => {
  assert.equal(delayText(-125), '2 min late');
  assert.equal(delayText(90), '2 min early');
  assert.equal(delayText(-20), 'on time');
  assert.equal(titleOf(bus), 'Bus 550 to Itäkeskus');
  assert.equal(titleOf({ id: '0050.00177', mode: 4, line: '', headsign: '' }), 'Metro 0050.00177');
  const facts = Object.fromEntries(factsOf(bus, bus.time_ms + 2000).map(([name, value]) => [name, value]));
  assert.deepEqual(facts, { Speed: '36 km/h', Timetable: '2 min late', 'Next stop': '1020453', Occupancy: '20 %', Operator: 'Nobina Finland', Vehicle: '0022.01400' });
  const silent = factsOf({ ...bus, next_stop: 'EOL', occupancy: 0, flags: FLAG.DOORS_OPEN | FLAG.NO_FIX }, bus.time_ms + 125_000);
  assert.deepEqual(silent.map(([name]) => name), ['Doors', 'Speed', 'Timetable', 'Next stop', 'Operator', 'Vehicle', 'Position', 'Last heard']);
});
