/** The chat over either wire: ?wire=channels in the page's address chooses the channels wire. */
import { ChannelsClient } from '/lib/channels.mjs';
import { CrierClient } from '/lib/crier.mjs';
import { socketUrl } from '/lib/dom.mjs';

const CHAT = 1; // the handler's message type, and its name

/** {client, say(payload, id)}: a message is resolved with its position once the broker has it. */
export function newClient(location, query) {
  const url = (path) => () => `${socketUrl(path)}?${new URLSearchParams(query())}`;
  if (new URLSearchParams(location.search).get('wire') === 'channels') {
    const client = new ChannelsClient(url('/connection/websocket'));
    return { client, say: (payload, id) => client.rpc('chat', { ...payload, id }) };
  }
  const client = new CrierClient(url('/ws'));
  return { client, say: (payload, id) => client.request(CHAT, payload, { id }) };
}
