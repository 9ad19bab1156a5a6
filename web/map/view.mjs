/**
 * What the page shows, kept in the address so that a link leads to the same: `#zoom/latitude/longitude/bearing?vehicle=0022.01400&follow=1&
 * mode=tram&line=550&operator=0012&zones=0012`. Unknown and broken parts are ignored.
 */
const DELAY_MS = 300; // browsers refuse more than about 100 changes in 30 seconds

const listOf = (text) => (text ? text.split(',').filter(Boolean).slice(0, 50) : []);
const inRange = (text, low, high) => text !== undefined && text !== '' && Number.isFinite(Number(text)) && Number(text) >= low && Number(text) <= high;

/** {camera: {zoom, center, bearing} or null, vehicle, follow, modes, lines, operators, zones} */
export function parseView(hash) {
  const [place = '', query = ''] = hash.replace(/^#/, '').split('?');
  const [zoom, latitude, longitude, bearing] = place.split('/');
  const valid = inRange(zoom, 0, 24) && inRange(latitude, -85, 85) && inRange(longitude, -180, 180);
  const options = new URLSearchParams(query);
  return {
    camera: valid
      ? { zoom: Number(zoom), center: [Number(longitude), Number(latitude)], bearing: inRange(bearing, -360, 360) ? Number(bearing) : 0 }
      : null,
    vehicle: options.get('vehicle'),
    follow: options.get('follow') === '1',
    modes: listOf(options.get('mode')),
    lines: listOf(options.get('line')),
    operators: listOf(options.get('operator')),
    zones: options.get('zones'),
  };
}

export function formatView({ zoom, center, bearing, vehicle, follow, modes, lines, operators, zones }) {
  const place = [zoom.toFixed(2), center.lat.toFixed(5), center.lng.toFixed(5), ...(Math.abs(bearing) >= 0.5 ? [bearing.toFixed(0)] : [])];
  const options = new URLSearchParams({
    ...(vehicle && { vehicle }),
    ...(vehicle && follow && { follow: '1' }),
    ...(modes.length && { mode: modes.join(',') }),
    ...(lines.length && { line: lines.join(',') }),
    ...(operators.length && { operator: operators.join(',') }),
    ...(zones && { zones }),
  });
  const query = options.toString().replaceAll('%2C', ',');
  return `#${place.join('/')}${query && `?${query}`}`;
}

/** Keeps the address in step; `onForeign` is called when somebody else has changed it. */
export class AddressKeeper {
  #timer = null;
  #written = location.hash;

  constructor(read, onForeign) {
    this.read = read;
    addEventListener('hashchange', () => {
      if (location.hash === this.#written) return;
      this.#written = location.hash;
      onForeign(parseView(location.hash));
    });
  }

  touch() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (location.hash !== this.#written) return; // somebody's new address, whose event is still to come
      history.replaceState(null, '', `${location.pathname}${location.search}${formatView(this.read())}`);
      this.#written = location.hash;
    }, DELAY_MS);
  }
}
