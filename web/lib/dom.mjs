/**
 * An element built from data, never from markup: text stays text.
 *
 *     h('p', { class: 'note', title: 'x' }, 'Hello ', h('b', {}, name))
 *
 * Properties starting with `on` are listeners; true sets an empty attribute; false and null leave it out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A path of this server as a WebSocket's address. */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
