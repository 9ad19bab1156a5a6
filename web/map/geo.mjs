/** Places on the sphere and on the map: the map is the unit square of Web Mercator, x to the east, y to the south. */
const CIRCUMFERENCE_M = 2 * Math.PI * 6_378_137;
const TILE_PX = 512; // of MapLibre at zoom 0
const RADIANS = Math.PI / 180;

export const mercatorX = (longitude) => (longitude + 180) / 360;

export function mercatorY(latitude) {
  const sine = Math.sin(latitude * RADIANS);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export const longitudeOf = (x) => x * 360 - 180;
export const latitudeOf = (y) => (Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) * 360) / Math.PI - 90;

/** Length of a metre on the map at this latitude. */
export const metreAt = (latitude) => 1 / (CIRCUMFERENCE_M * Math.cos(latitude * RADIANS));

/** The box {west, south, east, north}, larger by `share` of its size on each side. */
export function widen({ west, south, east, north }, share) {
  const [dx, dy] = [(east - west) * share, (north - south) * share];
  return {
    west: Math.max(-180, west - dx),
    south: Math.max(-85, south - dy),
    east: Math.min(180, east + dx),
    north: Math.min(85, north + dy),
  };
}

/** How the map lies on the screen in one frame: pitch is always 0, so it is a turn, a scale and a shift. */
export class Camera {
  width = 0;
  height = 0;

  /** @param {{getCenter, getZoom, getBearing}} map */
  read(map, width, height) {
    const center = map.getCenter();
    const turn = -map.getBearing() * RADIANS;
    this.width = width;
    this.height = height;
    this.zoom = map.getZoom();
    this.latitude = center.lat;
    this.scale = TILE_PX * 2 ** this.zoom;
    this.turn = turn;
    this.cos = Math.cos(turn) * this.scale;
    this.sin = Math.sin(turn) * this.scale;
    this.centerX = mercatorX(center.lng);
    this.centerY = mercatorY(center.lat);
    return this;
  }

  screenX(x, y) {
    return this.width / 2 + (x - this.centerX) * this.cos - (y - this.centerY) * this.sin;
  }

  screenY(x, y) {
    return this.height / 2 + (x - this.centerX) * this.sin + (y - this.centerY) * this.cos;
  }

  /** Pixels of `metres` at the middle of the screen. */
  pixels(metres, latitude = this.latitude) {
    return metres * metreAt(latitude) * this.scale;
  }
}
