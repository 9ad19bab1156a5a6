// The server API with the Python client library of that API (PyPI cent, its repository is called pycent), unmodified.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { channelsClient, gotPublications, subscribed } from '../lib/channels.mjs';
import { API_KEY, root, startCrier, until } from '../lib/crier.mjs';
import { inSeconds, tokenOf } from '../lib/tokens.mjs';

const VERSION = '5.2.0';
const home = join(root, '.cache', `cent-${VERSION}`);
const python = join(home, 'bin', 'python3');

/** The reason why the library cannot be had; false when it is there. */
function install() {
  const has = () => existsSync(python) && execFileSync(python, ['-c', 'import cent; print("yes")'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() === 'yes';
  try {
    if (has()) return false;
  } catch { /* half an installation */ }
  try {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(join(root, '.cache'), { recursive: true });
    execFileSync('python3', ['-m', 'venv', home], { stdio: 'ignore', timeout: 60000 });
    execFileSync(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', `cent==${VERSION}`], { stdio: 'ignore', timeout: 180000 });
    return has() ? false : `cent ${VERSION} does not run`;
  } catch {
    return `cent ${VERSION} cannot be had from PyPI`;
  }
}

const skip = install();
const namespaces = [{ name: 'default', publish: true, history: 10, presence: true }, { name: 'plain', history: 0 }];

/** A client of the library; call(method, request) gives its result, or rejects with its error. */
function library(t, server, { key = API_KEY, kind = 'sync' } = {}) {
  const args = [join(root, 'tests/e2e/pycent_calls.py'), `${server.url}/api`, key, ...(kind === 'async' ? ['async'] : [])];
  const child = spawn(python, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  t.after(() => child.stdin.end());
  return async (method, request = {}) => {
    child.stdin.write(`${JSON.stringify({ method, request })}\n`);
    const { value } = await lines.next();
    const { result, error } = JSON.parse(value);
    if (error) throw Object.assign(new Error(error.message), error);
    return result;
  };
}

for (const kind of ['sync', 'async']) {
  test(`${kind} client: publish and broadcast, with every option`, { skip }, async (t) => {
    const server = await startCrier({ t, config: { namespace: namespaces } });
    const call = library(t, server, { kind });
    const sub = await subscribed(await channelsClient(t, server), 'news');
    const first = await call('publish', { channel: 'news', data: { text: 'ä' }, tags: { a: 'b' }, idempotency_key: 'one' });
    assert.equal(first.offset, 1);
    assert.ok(first.epoch);
    assert.deepEqual(await call('publish', { channel: 'news', data: { text: 'again' }, idempotency_key: 'one' }), first);
    assert.deepEqual(await call('publish', { channel: 'news', data: 'here', skip_history: true }), { offset: 0, epoch: '' });
    await call('publish', { channel: 'news', data: null, b64data: Buffer.from('{"n":2}').toString('base64') });
    const { responses } = await call('broadcast', { channels: ['news', 'no:x', 'other'], data: { n: 3 } });
    assert.deepEqual(responses.map((r) => r.error?.code ?? r.result.offset), [3, 102, 1]);
    const seen = await gotPublications(sub, 4);
    assert.deepEqual(seen.map((p) => p.data), [{ text: 'ä' }, 'here', { n: 2 }, { n: 3 }]);
    assert.deepEqual(seen[0].tags, { a: 'b' });
  });

  test(`${kind} client: history, channels, presence, info`, { skip }, async (t) => {
    const server = await startCrier({ t, config: { namespace: namespaces } });
    const call = library(t, server, { kind });
    const client = await channelsClient(t, server, { token: tokenOf({ sub: 'ann', info: { name: 'Ann' } }) });
    await subscribed(client, 'news');
    for (let n = 1; n <= 5; n++) await call('publish', { channel: 'news', data: { n } });
    const top = await call('history', { channel: 'news' });
    assert.deepEqual([top.publications, top.offset], [[], 5]);
    const page = await call('history', { channel: 'news', limit: 2, since: { offset: 2, epoch: top.epoch } });
    assert.deepEqual(page.publications.map((p) => [p.offset, p.data]), [[3, { n: 3 }], [4, { n: 4 }]]);
    assert.deepEqual((await call('history', { channel: 'news', limit: 1, reverse: true })).publications.map((p) => p.offset), [5]);
    await assert.rejects(call('history', { channel: 'news', since: { offset: 1, epoch: 'other' } }), { kind: 'CentApiResponseError', code: 112 });
    await assert.rejects(call('history', { channel: 'plain:x' }), { code: 108 });
    await client.publish('news', { n: 6 });
    const [own] = (await call('history', { channel: 'news', limit: 1, reverse: true })).publications;
    assert.deepEqual([own.info.user, own.info.conn_info, own.data], ['ann', { name: 'Ann' }, { n: 6 }]);
    assert.deepEqual(await call('history_remove', { channel: 'news' }), {});
    assert.deepEqual((await call('history', { channel: 'news', limit: -1 })).publications, []);

    assert.deepEqual(await call('channels', { pattern: 'n*' }), { channels: { news: { num_clients: 1 } } });
    assert.deepEqual((await call('channels', { pattern: 'x*' })).channels, {});
    const { presence } = await call('presence', { channel: 'news' });
    assert.deepEqual(Object.values(presence).map((p) => [p.user, p.conn_info]), [['ann', { name: 'Ann' }]]);
    assert.deepEqual(await call('presence_stats', { channel: 'news' }), { num_clients: 1, num_users: 1 });
    assert.deepEqual((await call('presence', { channel: 'empty' })).presence, {});
    await assert.rejects(call('presence', { channel: 'plain:x' }), { code: 108 });
    const [node] = (await call('info')).nodes;
    assert.ok(node.uid && node.name && node.version);
    assert.deepEqual([node.num_clients, node.num_subs], [1, 1]);
  });

  test(`${kind} client: sessions`, { skip }, async (t) => {
    const server = await startCrier({ t, config: { namespace: namespaces, auth: { leeway: 0 }, limits: { refresh_ms: 0 } } });
    const call = library(t, server, { kind });
    const open = (sub) => channelsClient(t, server, { token: tokenOf({ sub }) });
    const [ann, ben, eve] = await Promise.all(['ann', 'ben', 'eve'].map(open));
    const event = (client, name) => until(() => client.events_.find((e) => e.name === name), name);
    const { epoch } = await call('publish', { channel: 'news', data: 1 });
    await call('subscribe', { user: 'ann', channel: 'news', info: { r: 1 }, data: { hi: 1 }, recover_since: { offset: 0, epoch }, override: { presence: { value: true } } });
    assert.deepEqual((await event(ann, 'subscribed')).data, { hi: 1 });
    assert.equal((await event(ann, 'publication')).data, 1);
    assert.deepEqual(Object.values((await call('presence', { channel: 'news' })).presence).map((p) => p.chan_info), [{ r: 1 }]);
    await call('unsubscribe', { user: 'ann', channel: 'news' });
    await event(ann, 'unsubscribed');
    await call('disconnect', { user: 'ann', disconnect: { code: 4600, reason: 'bye' } });
    assert.equal((await event(ann, 'disconnected')).code, 4600);
    ben.events_.length = 0;
    await call('refresh', { user: 'ben', expire_at: inSeconds(1) });
    assert.equal((await event(ben, 'connecting')).code, 3005);
    eve.events_.length = 0;
    await call('refresh', { user: 'eve', expired: true });
    assert.equal((await event(eve, 'connecting')).code, 3005);
    await assert.rejects(call('subscribe', { user: 'ann', channel: 'no:x' }), { code: 102 });
  });

  test(`${kind} client: batches, and what it says of a wrong key`, { skip }, async (t) => {
    const server = await startCrier({ t, config: { namespace: namespaces } });
    const call = library(t, server, { kind });
    for (const parallel of [false, true]) {
      const { replies } = await call('batch', { parallel, requests: [['publish', { channel: 'news', data: 1 }],
        ['broadcast', { channels: ['a', 'b'], data: 2 }], ['presence_stats', { channel: 'news' }], ['channels', {}]] });
      assert.equal(replies.length, 4);
      assert.ok(replies[0].offset > 0);
      assert.equal(replies[1].responses.length, 2);
      assert.deepEqual(replies[2], { num_clients: 0, num_users: 0 });
    }
    await assert.rejects(library(t, server, { key: 'wrong', kind })('info'), { kind: 'CentUnauthorizedError' });
  });
}
