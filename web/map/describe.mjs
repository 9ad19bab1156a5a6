/** What is known of a vehicle, in words. */
import { MODE_NAMES, modeName } from './palette.mjs';
import { FLAG } from './wire.mjs';

/** Who runs the vehicles, by the first part of their ids. */
export const OPERATORS = Object.freeze({
  '0006': 'Pohjolan Liikenne', '0012': 'Helsingin Bussiliikenne', '0017': 'Tammelundin Liikenne', '0018': 'Pohjolan Kaupunkiliikenne',
  '0020': 'Bus Travel Åbergin Linja', '0021': 'Bus Travel Reissu Ruoti', '0022': 'Nobina Finland', '0030': 'Savonlinja',
  '0036': 'Nurmijärven Linja', '0040': 'HKL-Raitioliikenne', '0045': 'Transdev Vantaa', '0047': 'Taksikuljetus', '0050': 'HKL-Metroliikenne',
  '0051': 'Korsisaari', '0054': 'V-S Bussipalvelut', '0055': 'Transdev Helsinki', '0058': 'Koillisen Liikennepalvelut',
  '0059': 'Tilausliikenne Nikkanen', '0060': 'Suomenlinnan Liikenne', '0089': 'Metropolia', '0090': 'VR', '0195': 'Siuntio',
});

const SILENT_MS = 30_000;
const AGE_SHOWN_MS = 10_000;

export const operatorOf = (id) => id.split('.')[0];
export const operatorName = (id) => OPERATORS[id] ?? `Operator ${Number(id)}`;

export function delayText(seconds) {
  const minutes = Math.round(Math.abs(seconds) / 60);
  if (minutes === 0) return 'on time';
  return `${minutes} min ${seconds < 0 ? 'late' : 'early'}`;
}

export const delayClass = (seconds) => (seconds <= -180 ? 'late' : seconds >= 60 ? 'early' : 'punctual');

export function ageText(ms) {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} days`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' }); // dear to make

export const timeText = (ms) => clock.format(ms);

/** "Tram 9 to Ilmala", "Bus 0022.01400". */
export function titleOf({ id, mode, line, headsign }) {
  const name = MODE_NAMES[modeName(mode)];
  if (!line) return `${name} ${id}`;
  return headsign ? `${name} ${line} to ${headsign}` : `${name} ${line}`;
}

/** Rows [name, value, class?] for the card. */
export function factsOf(data, nowMs) {
  const doors = (data.flags & FLAG.DOORS_OPEN) !== 0;
  const ageMs = nowMs - data.time_ms;
  return [
    doors ? ['Doors', 'open'] : null,
    data.speed === undefined ? null : ['Speed', `${Math.round((data.speed * 36) / 1000)} km/h`],
    data.delay === undefined ? null : ['Timetable', delayText(data.delay), delayClass(data.delay)],
    data.next_stop ? ['Next stop', data.next_stop === 'EOL' ? 'end of the line' : data.next_stop] : null,
    data.occupancy > 0 ? ['Occupancy', `${data.occupancy} %`] : null,
    ['Operator', operatorName(operatorOf(data.id))],
    ['Vehicle', data.id],
    data.flags & FLAG.NO_FIX ? ['Position', 'last known: it has no fix now', 'late'] : null,
    ageMs > AGE_SHOWN_MS ? ['Last heard', `${ageText(ageMs)} ago`, ageMs > SILENT_MS ? 'late' : ''] : null,
  ].filter(Boolean);
}
