// What a map has to know after a recording of the feed, by a plain reading of it: written apart from the module.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './crier.mjs';

const EVENTS = ['VP', 'DUE', 'ARR', 'ARS', 'PDE', 'DEP', 'PAS', 'WAIT', 'DOO', 'DOC', 'TLR', 'TLA', 'DA', 'DOUT', 'BA', 'BOUT', 'VJA', 'VJOUT'];
const { zones, organizations } = JSON.parse(readFileSync(join(root, 'examples/realtimemap/organizations.json'), 'utf8'));
const zoneOf = new Map(zones.map((zone) => [zone.name, zone]));

function metres(lat1, lon1, lat2, lon2) {
  const r = Math.PI / 180;
  const a = Math.sin(((lat2 - lat1) * r) / 2) ** 2 + Math.cos(lat1 * r) * Math.cos(lat2 * r) * Math.sin(((lon2 - lon1) * r) / 2) ** 2;
  return 2 * 6371000 * Math.asin(Math.min(1, Math.sqrt(a)));
}

/** Lines `RECEIVE-TIME TOPIC PAYLOAD`, where the topic may have blanks. */
export function readLine(line) {
  const at = line.indexOf(' ');
  const brace = line.indexOf(' {');
  return { topic: line.slice(at + 1, brace), payload: line.slice(brace + 1) };
}

const REORDER_MS = 60000;

export class HfpModel {
  vehicles = new Map();
  outcomes = { changed: 0, repeated: 0, late: 0, unplaced: 0 };
  crossings = [];

  take({ topic, payload }) {
    const levels = topic.split('/');
    const [operator, number] = [levels[7], levels[8]];
    const key = `${operator}.${number}`;
    const [event, p] = Object.entries(JSON.parse(payload))[0];
    const time = Date.parse(p.tst);
    const v = this.vehicles.get(key) ?? { key, operator, seen: [], trail: [], inside: null, time: -Infinity };
    this.vehicles.set(key, v);
    const print = `${topic} ${event} ${p.tst}`;
    if (v.seen.includes(print)) return void this.outcomes.repeated++;
    v.seen = [...v.seen, print].slice(-32);
    if (time < v.time && v.time - time <= REORDER_MS) return void this.outcomes.late++;
    if (time < v.time) v.trail = [];
    v.time = time;
    v.mode = levels[6];
    v.line = levels[3] === 'journey' ? (p.desi ?? v.line ?? '') : '';
    v.fix = p.lat !== null && p.lat !== undefined && p.long !== null && p.long !== undefined;
    if (v.fix) {
      Object.assign(v, { lat: p.lat, lon: p.long, placed: true });
      v.trail = [...v.trail, [time, p.lat, p.long]].slice(-200);
      this.#cross(v);
    }
    this.outcomes[v.placed ? 'changed' : 'unplaced']++;
    if (!EVENTS.includes(event)) throw new Error(`unknown event ${event}`);
  }

  #cross(v) {
    const organization = organizations.find((o) => o.id === v.operator);
    if (!organization || !organization.zones.length) return;
    const inside = new Set(organization.zones.filter((name) => {
      const zone = zoneOf.get(name);
      return metres(zone.latitude, zone.longitude, v.lat, v.lon) < zone.radius_m;
    }));
    for (const name of organization.zones)
      if (v.inside && inside.has(name) !== v.inside.has(name))
        this.crossings.push(`${v.key} ${inside.has(name) ? 'Enter' : 'Exit'} ${name}`);
    v.inside = inside;
  }

  /** Those with a position, by key. */
  placed() {
    return [...this.vehicles.values()].filter((v) => v.placed).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  counts() {
    const counts = {};
    const add = (key) => { counts[key] = (counts[key] ?? 0) + 1; };
    for (const v of this.placed()) {
      ['all', `mode:${v.mode}`, `operator:${v.operator}`].forEach(add);
      if (v.line) add(`line:${v.line}`);
    }
    return counts;
  }
}
