/**
 * How a subscription begins on the channels wire. Both give {epoch, offset, recovered, items}: what the subscription has
 * to be told first; the pushes that follow go on from there.
 */
const UNRECOVERABLE = 112;
const MAP = 1;
const STATE = 2; // phases of a map subscription; a reply without one is live
const STREAM = 1;

/** A stream: what was missed since the position; without one, or when it is too old, the newest `history`. */
export async function streamSubscribe(client, subscription, { channel, epoch, offset, history = 0 }) {
  const resumes = epoch !== undefined;
  const reply = await client.request('subscribe', {
    channel,
    recoverable: true,
    positioned: true,
    join_leave: true,
    ...(resumes && { recover: true, epoch, offset: Math.max(offset, 0) }),
  });
  const { recovered = false, publications = [], offset: top = 0 } = reply;
  if (recovered) return { epoch: reply.epoch, offset: top, recovered, items: publications };
  const items = history > 0 ? await newest(client, channel, history, top) : [];
  return { epoch: reply.epoch, offset: top, ...(resumes && { recovered }), items };
}

/** The newest up to the position at which the subscription began; none where history may not be read. */
async function newest(client, channel, limit, top) {
  try {
    const { publications } = await client.history(channel, { limit, reverse: true });
    return publications.reverse().filter((publication) => publication.offset <= top);
  } catch (error) {
    if (error.disconnected || error.temporary) throw error;
    return [];
  }
}

/** A map: what changed since the position; without one, or when it is too old, the whole table. */
export async function mapSubscribe(client, subscription, { channel, epoch, offset }) {
  const resumes = epoch !== undefined && subscription.recoverable;
  if (resumes) {
    try {
      return await readMap(client, subscription, { channel, phase: STREAM, recover: true, epoch, offset: Math.max(offset, 0) });
    } catch (error) {
      if (error.code !== UNRECOVERABLE) throw error;
    }
  }
  return { ...(await readMap(client, subscription, { channel, phase: STATE })), recovered: false };
}

async function readMap(client, subscription, first) {
  const items = [];
  let ask = first;
  for (;;) {
    const { state = [], publications = [], ...reply } = await client.request('subscribe', { type: MAP, ...ask });
    items.push(...state, ...publications);
    if (!reply.phase) {
      subscription.recoverable = reply.recoverable === true;
      return { epoch: reply.epoch, offset: reply.offset ?? 0, recovered: reply.recovered === true, items: items.sort(byOffset) };
    }
    ask = { ...first, epoch: reply.epoch, offset: reply.offset, phase: reply.phase === STATE && reply.cursor ? STATE : STREAM };
    if (reply.cursor) ask.cursor = reply.cursor;
  }
}

/** A page is in the order of its keys; entries may have no offsets. */
const byOffset = (a, b) => (a.offset ?? 0) - (b.offset ?? 0);
