/**
 * Vehicles that lie close together when the map shows a whole region, one disc each: the number inside, the shares of the modes as a ring.
 * Members are told apart by a grid that is fixed to the ground and counted anew twice a second; a disc follows the mean of its members.
 */
import { modeName } from './palette.mjs';

const CELL_PX = 84;
const COUNT_MS = 500;
const EASE_MS = 220;
const FADE_MS = 220;

export class Clusters {
  /** Discs on the screen: {x, y, radius, count, members} in CSS pixels; for pointing at them. */
  shown = [];
  /** Vehicles that are alone and drawn as such. */
  single = [];
  #clusters = new Map();
  #countedAt = -Infinity;
  #level = null;
  #last = 0;

  update(vehicles, camera, now) {
    const level = Math.round(camera.zoom * 2);
    if (now - this.#countedAt > COUNT_MS || level !== this.#level) this.#count(vehicles, level, now);
    const ease = 1 - Math.exp(-(now - this.#last) / EASE_MS);
    this.#last = now;
    this.shown = [];
    for (const [key, cluster] of this.#clusters) {
      if (cluster.goneAt && now - cluster.goneAt > FADE_MS) this.#clusters.delete(key);
      else this.#place(cluster, camera, now, ease);
    }
  }

  #count(vehicles, level, now) {
    const cells = new Map();
    const side = CELL_PX / (512 * 2 ** (level / 2));
    for (const vehicle of vehicles) {
      const key = `${level}:${Math.floor(vehicle.x / side)}:${Math.floor(vehicle.y / side)}`;
      const members = cells.get(key);
      if (members) members.push(vehicle);
      else cells.set(key, [vehicle]);
    }
    this.single = [];
    for (const [key, members] of cells) if (members.length < 2) this.single.push(...members);
    for (const [key, cluster] of this.#clusters) if (!(cells.get(key)?.length > 1)) cluster.goneAt ||= now;
    for (const [key, members] of cells) if (members.length > 1) this.#fill(key, members, now);
    this.#countedAt = now;
    this.#level = level;
  }

  #fill(key, members, now) {
    let cluster = this.#clusters.get(key);
    if (!cluster || cluster.goneAt) this.#clusters.set(key, (cluster = { bornAt: now, x: null, y: 0, radius: 0 }));
    cluster.members = members;
    cluster.shares = sharesOf(members);
  }

  #place(cluster, camera, now, ease) {
    let [x, y] = [0, 0];
    for (const member of cluster.members) {
      x += member.x;
      y += member.y;
    }
    const count = cluster.members.length;
    const [toX, toY, radius] = [x / count, y / count, 11 + 3.1 * Math.log2(count)];
    const step = cluster.x === null ? 1 : ease;
    cluster.x += (toX - cluster.x) * step;
    cluster.y += (toY - cluster.y) * step;
    cluster.radius += (radius - cluster.radius) * step;
    const alpha = Math.min(1, (now - cluster.bornAt) / FADE_MS) * (cluster.goneAt ? Math.max(0, 1 - (now - cluster.goneAt) / FADE_MS) : 1);
    const [screenX, screenY] = [camera.screenX(cluster.x, cluster.y), camera.screenY(cluster.x, cluster.y)];
    const margin = cluster.radius + 4;
    if (screenX < -margin || screenY < -margin || screenX > camera.width + margin || screenY > camera.height + margin) return;
    this.shown.push({ x: screenX, y: screenY, radius: cluster.radius, alpha, count, shares: cluster.shares, members: cluster.members });
  }

  draw(context, palette, ratio, alpha) {
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    for (const cluster of this.shown) {
      context.globalAlpha = cluster.alpha * alpha;
      drawDisc(context, cluster, palette, ratio);
    }
    context.globalAlpha = 1;
  }
}

function sharesOf(members) {
  const counts = new Map();
  for (const { data } of members) counts.set(data.mode, (counts.get(data.mode) ?? 0) + 1);
  return [...counts].sort((a, b) => a[0] - b[0]).map(([mode, count]) => ({ mode: modeName(mode), share: count / members.length }));
}

function drawDisc(context, { x, y, radius, count, shares }, palette, ratio) {
  const [cx, cy, r] = [x * ratio, y * ratio, radius * ratio];
  const ring = Math.max(3, radius * 0.22) * ratio;
  context.beginPath();
  context.arc(cx, cy, r + 1.5 * ratio, 0, 2 * Math.PI);
  context.fillStyle = palette.panel;
  context.fill();
  let from = -Math.PI / 2;
  context.lineWidth = ring;
  for (const { mode, share } of shares) {
    context.beginPath();
    context.arc(cx, cy, r - ring / 2, from, from + share * 2 * Math.PI);
    context.strokeStyle = palette.modes[mode];
    context.stroke();
    from += share * 2 * Math.PI;
  }
  context.fillStyle = palette.text;
  context.font = `650 ${Math.round((radius < 18 ? 11 : 13) * ratio)}px system-ui, "DejaVu Sans", sans-serif`;
  context.fillText(String(count), cx, cy + 0.5 * ratio);
}
