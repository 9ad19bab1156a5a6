/** Text of people and times, as DOM nodes. */
import { h } from '/lib/dom.mjs';

const URL_PATTERN = /\bhttps?:\/\/[^\s<>"]+/gi;
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'medium' });

/** Punctuation at the end belongs to the sentence, and so does a bracket that was not opened inside the address. */
function trimLink(text) {
  let end = text.replace(/[.,;:!?'*]+$/, '');
  while (/[)\]]$/.test(end)) {
    const open = end.endsWith(')') ? '(' : '[';
    if (end.split(open).length >= end.split(end.at(-1)).length) break;
    end = end.slice(0, -1).replace(/[.,;:!?'*]+$/, '');
  }
  return end;
}

function link(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return text;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return text;
  return h('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer nofollow' }, text);
}

/** The message's text with its http(s) addresses as links; nothing in it is ever read as markup. */
export function richText(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(URL_PATTERN)) {
    const address = trimLink(match[0]);
    nodes.push(text.slice(at, match.index), link(address));
    at = match.index + address.length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== '');
}

/** A Date, or null for what is no time. */
export function parseTime(timestamp) {
  const time = new Date(timestamp);
  return Number.isNaN(time.getTime()) ? null : time;
}

export const dayKey = (time) => (time ? `${time.getFullYear()}-${time.getMonth()}-${time.getDate()}` : '');
export const dayText = (time) => dayFormat.format(time);
export const timeElement = (time) =>
  time ? h('time', { datetime: time.toISOString(), title: fullFormat.format(time) }, timeFormat.format(time)) : null;

/** One of eight colours, the same for the same name. */
export function hue(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) >>> 0;
  return sum % 8;
}

export function initial(name) {
  return [...name.trim()][0]?.toUpperCase() ?? '?';
}
