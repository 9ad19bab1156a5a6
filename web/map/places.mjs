import { mercatorX, mercatorY } from './geo.mjs';

/** Names of places, drawn under the vehicles: [name, longitude, latitude, zoom from which it is shown]. */
export const PLACES = Object.freeze([
  ['Helsinki', 24.9414, 60.1703, 7], ['Espoo', 24.655, 60.2055, 8], ['Vantaa', 25.039, 60.294, 8], ['Kauniainen', 24.729, 60.211, 10.4],
  ['Kerava', 25.105, 60.404, 9], ['Kirkkonummi', 24.438, 60.1238, 9], ['Sipoo', 25.268, 60.376, 9.6], ['Tuusula', 25.029, 60.404, 9.6],
  ['Airport', 24.963, 60.3172, 10], ['Tikkurila', 25.0445, 60.2925, 10.4], ['Pasila', 24.9335, 60.1988, 10.8], ['Kallio', 24.951, 60.184, 11.4],
  ['Kamppi', 24.931, 60.1685, 13], ['Töölö', 24.921, 60.179, 12], ['Kruununhaka', 24.956, 60.1725, 13], ['Katajanokka', 24.968, 60.1668, 12.6],
  ['Punavuori', 24.938, 60.1615, 13], ['Ullanlinna', 24.949, 60.1585, 13], ['Jätkäsaari', 24.916, 60.156, 12.4], ['Lauttasaari', 24.878, 60.1595, 11],
  ['Munkkiniemi', 24.876, 60.1985, 11.4], ['Meilahti', 24.9, 60.19, 12], ['Vallila', 24.957, 60.1945, 12.4], ['Arabia', 24.978, 60.207, 12],
  ['Kumpula', 24.965, 60.208, 12.6], ['Käpylä', 24.95, 60.216, 12], ['Oulunkylä', 24.965, 60.229, 11.6], ['Maunula', 24.93, 60.23, 12.4],
  ['Haaga', 24.895, 60.221, 11.8], ['Kannelmäki', 24.882, 60.239, 11.8], ['Malmi', 25.011, 60.251, 11], ['Pukinmäki', 24.993, 60.243, 12.4],
  ['Viikki', 25.021, 60.226, 11.8], ['Herttoniemi', 25.03, 60.195, 11.4], ['Kulosaari', 25.007, 60.187, 12], ['Laajasalo', 25.05, 60.17, 11.2],
  ['Itäkeskus', 25.082, 60.2105, 11], ['Kontula', 25.083, 60.236, 12], ['Mellunmäki', 25.111, 60.239, 12.2], ['Vuosaari', 25.143, 60.209, 11],
  ['Suomenlinna', 24.984, 60.1455, 11.6], ['Otaniemi', 24.827, 60.1855, 11.4], ['Tapiola', 24.805, 60.1755, 10.8], ['Matinkylä', 24.739, 60.1595, 11],
  ['Espoonlahti', 24.656, 60.149, 11.2], ['Kivenlahti', 24.637, 60.1545, 12.4], ['Leppävaara', 24.813, 60.219, 10.8], ['Myyrmäki', 24.854, 60.2615, 10.8],
  ['Martinlaakso', 24.852, 60.2785, 12], ['Kivistö', 24.847, 60.315, 11.2], ['Aviapolis', 24.957, 60.304, 12], ['Hakunila', 25.107, 60.273, 11.8],
  ['Korso', 25.079, 60.3505, 11], ['Östersundom', 25.183, 60.253, 11.4], ['Olari', 24.741, 60.178, 12.2], ['Kera', 24.755, 60.217, 12.6],
  ['Kilo', 24.781, 60.219, 12.4], ['Santahamina', 25.047, 60.148, 12], ['Mustikkamaa', 24.992, 60.182, 13], ['Pitäjänmäki', 24.86, 60.223, 12.2],
]);

const points = PLACES.map(([name, longitude, latitude, zoom]) => ({ name, x: mercatorX(longitude), y: mercatorY(latitude), zoom }));
const FADE_ZOOM = 0.4;

export const placesLayer = {
  draw({ context, camera, ratio, palette }) {
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineJoin = 'round';
    context.lineWidth = 3 * ratio;
    for (const { name, x, y, zoom } of points) {
      const alpha = Math.min(1, (camera.zoom - zoom) / FADE_ZOOM);
      if (alpha <= 0) continue;
      const [screenX, screenY] = [camera.screenX(x, y), camera.screenY(x, y)];
      if (screenX < -60 || screenY < -20 || screenX > camera.width + 60 || screenY > camera.height + 20) continue;
      const size = zoom < 9 ? 15 : zoom < 11 ? 13 : 12;
      context.globalAlpha = alpha * 0.9;
      context.font = `${zoom < 9 ? 650 : 500} ${size * ratio}px system-ui, "DejaVu Sans", sans-serif`;
      context.strokeStyle = palette.placeHalo;
      context.strokeText(name, screenX * ratio, screenY * ratio);
      context.fillStyle = palette.place;
      context.fillText(name, screenX * ratio, screenY * ratio);
    }
    context.globalAlpha = 1;
  },
};
