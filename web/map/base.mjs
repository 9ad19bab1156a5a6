/**
 * The map under the vehicles: MapLibre with the land that is shipped, or a style from elsewhere. `?style=URL` names a MapLibre style,
 * `?tiles=URL&attribution=TEXT` raster tiles; the server's policy has to allow their host (server.web_sources).
 */
import { Map as MapLibre, AttributionControl, NavigationControl, ScaleControl } from '/vendor/maplibre-gl/maplibre-gl.mjs';
import { currentPalette, onPaletteChange } from './palette.mjs';

/** Helsinki, as wide as the screen allows. */
const HOME = { center: [24.938, 60.187], zoom: 11.4 };
const LAND_BOX = [[24.4, 59.95], [25.4, 60.55]];
const LAND_SOURCE = 'land: <a href="https://www.soest.hawaii.edu/pwessel/gshhg/">GSHHG</a>';

function outsideOfLand() {
  const [[west, south], [east, north]] = LAND_BOX;
  const world = [[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]];
  const hole = [[west, south], [west, north], [east, north], [east, south], [west, south]];
  return { type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [world, hole] } };
}

function ownStyle(palette) {
  return {
    version: 8,
    sources: {
      land: { type: 'geojson', data: new URL('helsinki-land.geojson', import.meta.url).href, attribution: LAND_SOURCE },
      outside: { type: 'geojson', data: outsideOfLand() },
    },
    layers: [
      { id: 'water', type: 'background', paint: { 'background-color': palette.water } },
      { id: 'land', type: 'fill', source: 'land', paint: { 'fill-color': palette.land } },
      { id: 'shore', type: 'line', source: 'land', paint: { 'line-color': palette.shore, 'line-width': 0.8 } },
      { id: 'outside', type: 'fill', source: 'outside', paint: { 'fill-color': palette.unmapped, 'fill-antialias': false } },
    ],
  };
}

/** Attributions are markup to MapLibre; what comes from an address is text. */
const escapeText = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

function rasterStyle(tiles, attribution) {
  return {
    version: 8,
    sources: { tiles: { type: 'raster', tiles: [tiles], tileSize: 256, attribution: escapeText(attribution ?? '') } },
    layers: [{ id: 'tiles', type: 'raster', source: 'tiles' }],
  };
}

function chosenStyle() {
  const query = new URLSearchParams(location.search);
  if (query.has('style')) return query.get('style');
  if (query.has('tiles')) return rasterStyle(query.get('tiles'), query.get('attribution'));
  return ownStyle(currentPalette());
}

function repaint(map, palette) {
  const colours = { water: 'background-color', land: 'fill-color', shore: 'line-color' };
  for (const [name, property] of Object.entries(colours)) if (map.getLayer(name)) map.setPaintProperty(name, property, palette[name]);
  if (map.getLayer('outside')) map.setPaintProperty('outside', 'fill-color', palette.unmapped);
  if (map.getLayer('tracks')) map.setPaintProperty('tracks', 'line-color', palette.track);
}

/** @param {{center?, zoom?, bearing?}} [view] where to begin */
export function createBase(container, view) {
  const map = new MapLibre({
    container,
    style: chosenStyle(),
    ...HOME,
    ...view,
    minZoom: 7,
    maxZoom: 18,
    maxPitch: 0,
    pitchWithRotate: false,
    touchPitch: false,
    attributionControl: false,
    fadeDuration: 0,
    renderWorldCopies: false,
    collectResourceTiming: false,
  });
  onPaletteChange((palette) => repaint(map, palette));
  return map;
}

/** Buttons, scale, and whose the data is: `attribution` may be empty. */
export function addControls(map, attribution) {
  map.addControl(new AttributionControl({ compact: true, ...(attribution && { customAttribution: escapeText(attribution) }) }), 'bottom-right');
  map.addControl(new NavigationControl({ visualizePitch: false }), 'bottom-right');
  map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-left');
}

/** A faint layer of lines under everything else that moves: {show(geojson), setVisible(bool)}. */
export function addTracks(map) {
  map.addSource('tracks', { type: 'geojson', data: { type: 'FeatureCollection', features: [] } });
  map.addLayer({
    id: 'tracks',
    type: 'line',
    source: 'tracks',
    layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: { 'line-color': currentPalette().track, 'line-opacity': 0.38, 'line-width': ['interpolate', ['linear'], ['zoom'], 9, 0.7, 12, 1.4, 16, 5] },
  });
  return {
    show: (lines) => map.getSource('tracks').setData(lines),
    setVisible: (visible) => map.setLayoutProperty('tracks', 'visibility', visible ? 'visible' : 'none'),
  };
}
