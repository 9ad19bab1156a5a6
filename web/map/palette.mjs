/** Colours of what the canvas draws, light and dark, and what the modes of transport are called. */
import { MODES } from './wire.mjs';

export const MODE_NAMES = Object.freeze({
  bus: 'Bus', tram: 'Tram', train: 'Train', ferry: 'Ferry', metro: 'Metro', ubus: 'U line', robot: 'Robot bus', other: 'Other',
});

const light = {
  dark: false,
  modes: { bus: '#0a6fc2', tram: '#00855a', train: '#8c4799', ferry: '#007fa8', metro: '#e05206', ubus: '#2b3f9e', robot: '#b0245e', other: '#5b6675' },
  outline: '#ffffff',
  panel: '#ffffff',
  text: '#1d2430',
  muted: '#5b6675',
  place: '#4a5563',
  placeHalo: 'rgba(250, 249, 245, .85)',
  zone: '#9c27b0',
  selected: '#d6246e',
  water: '#cfe0ea',
  land: '#f7f5ef',
  shore: '#a9bfcc',
  unmapped: '#eceae4',
  track: '#8d8672',
};

const dark = {
  dark: true,
  modes: { bus: '#58abf5', tram: '#3ecf8e', train: '#c98bd8', ferry: '#4fc9ec', metro: '#ff8a4c', ubus: '#93a4ff', robot: '#f27aa8', other: '#9aa6b5' },
  outline: '#0d1218',
  panel: '#1b1f26',
  text: '#e4e8ee',
  muted: '#9aa6b5',
  place: '#a9b4c2',
  placeHalo: 'rgba(22, 27, 34, .85)',
  zone: '#c86bda',
  selected: '#ff6fa8',
  water: '#0e1822',
  land: '#1b222b',
  shore: '#31424f',
  unmapped: '#161c23',
  track: '#7b8798',
};

/** What is shown now: the choice of <html data-theme>, else the system's. */
export function currentPalette() {
  const choice = document.documentElement.dataset.theme;
  const isDark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  return isDark ? dark : light;
}

/** Calls back when the palette has changed. */
export function onPaletteChange(callback) {
  let last = currentPalette();
  const check = () => {
    const next = currentPalette();
    if (next !== last) callback((last = next));
  };
  new MutationObserver(check).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', check);
}

export const modeName = (mode) => MODES[mode] ?? 'other';
