/** Loads the page, and says so when the map library is missing. */
import('./map.mjs').catch(async (error) => {
  const library = await fetch('/vendor/maplibre-gl/maplibre-gl.mjs', { method: 'HEAD' }).catch(() => null);
  const reason = library?.ok ? String(error) : 'The map library is not installed: start the server once with ./run.sh, which fetches it.';
  document.getElementById('connection-text').textContent = 'Not connected';
  const note = document.createElement('p');
  note.className = 'missing';
  note.setAttribute('role', 'alert');
  note.textContent = reason;
  document.getElementById('map').append(note);
  throw error;
});
