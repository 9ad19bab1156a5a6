// Tokens: keys of every kind and where they come from, what ends with them, and channels that need one of their own.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { RawChannels, channelsClient, gotPublications, subscribed } from '../lib/channels.mjs';
import { binary, sleep, startCrier, until } from '../lib/crier.mjs';
import { TYPE } from '../lib/typed.mjs';
import { inSeconds, keyTokenOf, tokenOf } from '../lib/tokens.mjs';

const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed: generateKeyPairSync('ed25519'),
  other: generateKeyPairSync('ed25519'),
};
const pem = (key) => key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' });
const jwk = (pair, kid) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' });

function temporary(t) {
  const dir = mkdtempSync(join(tmpdir(), 'crier-keys-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const strict = { anonymous: false, hmac_secret_file: '', leeway: 0 };
const namespaces = [{ name: 'default', history: 10, publish: true, presence: true }];
const start = (t, auth, more = {}) => startCrier({ t, config: { namespace: namespaces, auth: { ...strict, ...auth }, ...more } });

/** Whether the typed wire lets a token in. */
async function admitted(server, token) {
  try {
    const client = await server.typed({ path: `/ws?format=object&token=${token}` });
    client.close?.();
    return true;
  } catch (error) {
    assert.equal(error.status, 401);
    return false;
  }
}

// ---- where keys come from ----

test('public keys in PEM: RSA, EC and Ed25519 in one file; no other key, no secret', async (t) => {
  const dir = temporary(t);
  const path = join(dir, 'keys.pem');
  writeFileSync(path, ['rsa', 'ec', 'ed'].map((name) => pem(pairs[name].publicKey)).join(''));
  const server = await start(t, { public_key_file: path });
  for (const name of ['rsa', 'ec', 'ed']) assert.equal(await admitted(server, keyTokenOf({ sub: name }, pairs[name].privateKey)), true, name);
  assert.equal(await admitted(server, keyTokenOf({ sub: 'x' }, pairs.other.privateKey)), false);
  assert.equal(await admitted(server, tokenOf({ sub: 'x' }, { secret: readFileSync(path, 'utf8') })), false);
  assert.equal(await admitted(server, tokenOf({ sub: 'x' }, { header: { alg: 'none' } })), false);
});

/** A server of key sets on loopback; `answer` may be changed. */
async function keyServer(t, { tls } = {}) {
  const state = { requests: 0, answer: (response) => response.end(JSON.stringify({ keys: state.keys })), keys: [] };
  const handle = (request, response) => {
    state.requests++;
    state.last = request;
    state.answer(response);
  };
  const server = tls ? https.createServer(tls, handle) : http.createServer(handle);
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close() && server.closeAllConnections());
  state.url = `${tls ? 'https' : 'http'}://${tls ? 'localhost' : '127.0.0.1'}:${server.address().port}/keys?set=1`;
  return state;
}

test('a set of keys from an address: read at the start and again, and kept when the answer is none', async (t) => {
  const keys = await keyServer(t);
  keys.keys = [jwk(pairs.rsa, 'one'), jwk(pairs.ec, 'two')];
  const server = await start(t, { jwks_url: keys.url, jwks_refresh: 200 });
  assert.equal(keys.last.url, '/keys?set=1');
  const old = keyTokenOf({ sub: 'a' }, pairs.rsa.privateKey, 'one');
  const fresh = keyTokenOf({ sub: 'a' }, pairs.ed.privateKey, 'three');
  assert.equal(await admitted(server, old), true);
  assert.equal(await admitted(server, keyTokenOf({ sub: 'a' }, pairs.rsa.privateKey, 'two')), false);
  assert.equal(await admitted(server, fresh), false);
  keys.keys = [jwk(pairs.ed, 'three')];
  await until(() => admitted(server, fresh), 'the new key');
  assert.equal(await admitted(server, old), false);

  const good = keys.answer;
  for (const answer of [(r) => r.writeHead(500).end(JSON.stringify({ keys: [jwk(pairs.rsa, 'one')] })), (r) => r.writeHead(302, { location: '/x' }).end(),
    (r) => r.end('{"keys":[]}'), (r) => r.end('nonsense'), (r) => r.destroy(), (r) => r.writeHead(200, { 'content-length': 1000 }).end('{"keys":'),
    (r) => r.end(' '.repeat(2 << 20))]) {
    keys.answer = answer;
    const before = keys.requests;
    await until(() => keys.requests >= before + 1, 'asked again', 20000);
    await sleep(50);
    assert.equal(await admitted(server, fresh), true);
    assert.equal(await admitted(server, old), false);
  }
  keys.answer = good;
  keys.keys = [jwk(pairs.rsa, 'one')];
  await until(() => admitted(server, old), 'the old key again', 20000);
});

test('an address that is not there at the start does not keep the server from starting', async (t) => {
  const keys = await keyServer(t);
  const answer = keys.answer;
  keys.answer = (r) => r.destroy();
  const server = await start(t, { jwks_url: keys.url, jwks_refresh: 200 });
  const token = keyTokenOf({ sub: 'a' }, pairs.ed.privateKey);
  assert.equal(await admitted(server, token), false);
  assert.match(server.logs(), /keys of tokens cannot be read/);
  keys.keys = [jwk(pairs.ed, 'k')];
  keys.answer = answer;
  await until(() => admitted(server, token), 'the keys');
});

test('a set over https needs a certificate that is trusted', async (t) => {
  const dir = temporary(t);
  const at = (name) => join(dir, name);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
    '-keyout', at('key.pem'), '-out', at('cert.pem')], { stdio: 'ignore' });
  const keys = await keyServer(t, { tls: { key: readFileSync(at('key.pem')), cert: readFileSync(at('cert.pem')) } });
  keys.keys = [jwk(pairs.ec, 'k')];
  const token = keyTokenOf({ sub: 'a' }, pairs.ec.privateKey, 'k');
  const config = { namespace: namespaces, auth: { ...strict, jwks_url: keys.url, jwks_refresh: 200 } };
  const trusting = await startCrier({ t, config, env: { SSL_CERT_FILE: at('cert.pem') } });
  assert.equal(await admitted(trusting, token), true);
  const careful = await startCrier({ t, config, env: { SSL_CERT_FILE: at('key.pem') } });
  assert.equal(await admitted(careful, token), false);
  assert.match(careful.logs(), /certificate is not trusted/);
  // Trusted, but for another name.
  const elsewhere = { ...config, auth: { ...config.auth, jwks_url: keys.url.replace('localhost', '127.0.0.1') } };
  const strange = await startCrier({ t, config: elsewhere, env: { SSL_CERT_FILE: at('cert.pem') } });
  assert.equal(await admitted(strange, token), false);
});

test('audience and issuer have to be those that are configured', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret', audience: 'crier', issuer: 'https://login.test/' });
  const good = { sub: 'a', aud: ['x', 'crier'], iss: 'https://login.test/' };
  assert.equal(await admitted(server, tokenOf(good)), true);
  for (const bad of [{ aud: undefined }, { aud: 'Crier' }, { iss: undefined }, { iss: 'https://login.test' }, { aud: [] }])
    assert.equal(await admitted(server, tokenOf({ ...good, ...bad })), false, JSON.stringify(bad));
});

// ---- what ends with a token ----

test('typed wire: an open session ends when its token does, not before', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' });
  const exp = inSeconds(2);
  const client = await server.typed({ path: `/ws?format=object&token=${tokenOf({ sub: 'ann', exp })}` });
  const forever = await server.typed({ path: `/ws?format=object&token=${tokenOf({ sub: 'ann', exp, expire_at: 0 })}` });
  const { code, reason } = await client.closed;
  const late = Date.now() / 1000 - exp;
  assert.deepEqual([code, String(reason)], [3005, 'token expired']);
  assert.ok(late >= 0 && late < 15, `${late} s after its end`);
  assert.equal((await forever.request(TYPE.ping, {})).payload.error, undefined);
});

test('channels wire: the library refreshes its token and stays', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' });
  let asked = 0;
  const client = await channelsClient(t, server, { token: tokenOf({ sub: 'ann', exp: inSeconds(2) }),
    getToken: async () => { asked++; return tokenOf({ sub: 'ann', exp: inSeconds(3600) }); } });
  const sub = await subscribed(client, 'news');
  await until(() => asked === 1, 'the refresh');
  await sleep(2500);
  assert.equal(asked, 1);
  assert.equal(client.events_.some((e) => e.name === 'connecting' && e.code !== 0), false);
  await server.api('publish', { channel: 'news', data: 1 });
  await gotPublications(sub, 1);
});

test('channels wire: without a new token the session ends after the grace, with 3005', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' }, { limits: { refresh_ms: 1000 } });
  const exp = inSeconds(1);
  const raw = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'ann', exp }) } });
  assert.equal((await raw.closed).code, 3005);
  const late = Date.now() / 1000 - exp - 1;
  assert.ok(late >= -0.1 && late < 15, `${late} s after the grace`);
});

test('channels wire: bad tokens of every kind, each with its code', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret', audience: 'crier' });
  const good = { sub: 'ann', aud: 'crier' };
  const expired = await RawChannels.open(t, server, { connect: null });
  assert.equal((await expired.call({ connect: { token: tokenOf({ ...good, exp: 1 }) } })).error.code, 109);
  const early = await RawChannels.open(t, server, { connect: null });
  assert.equal((await early.call({ connect: { token: tokenOf({ ...good, nbf: inSeconds(100) }) } })).error.code, 109);
  for (const [token, code] of [['x', 3500], ['a.b.c', 3500], [tokenOf(good, { secret: 'no' }), 3500], [tokenOf(good, { header: { alg: 'none' } }), 3500],
    [tokenOf({ sub: 'ann' }), 3500], [tokenOf({ ...good, sub: 7 }), 3500], [tokenOf({ ...good, channel: 'news' }), 3500], ['', 3501]]) {
    const raw = await RawChannels.open(t, server, { connect: null });
    raw.send({ id: 1, connect: { token } });
    const { code: got, reason } = await raw.closed;
    assert.equal(got, code, token);
    assert.ok(reason);
  }
});

test('channels wire: silence after the upgrade ends with 3502 in time; a subscribe before connect with 3501', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' }, { limits: { connect_ms: 1000 } });
  const began = Date.now();
  const silent = await RawChannels.open(t, server, { connect: null });
  const hasty = await RawChannels.open(t, server, { connect: null });
  hasty.send({ id: 1, subscribe: { channel: 'news' } });
  assert.equal((await hasty.closed).code, 3501);
  assert.equal((await silent.closed).code, 3502);
  const took = Date.now() - began;
  assert.ok(took >= 950 && took < 9000, `${took} ms`);
});

// ---- channels ----

test('channels that need a token: for this channel, this user and this client', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' });
  const client = await channelsClient(t, server, { token: tokenOf({ sub: 'ann' }) });
  const channel = '$news';
  const sub = await subscribed(client, channel, { getToken: async () => tokenOf({ sub: 'ann', channel, info: { seat: 3 } }) });
  await server.api('publish', { channel, data: 'x' });
  assert.equal((await gotPublications(sub, 1))[0].data, 'x');
  assert.deepEqual(Object.values((await server.api('presence', { channel })).presence).map((p) => p.chan_info), [{ seat: 3 }]);

  const attempt = async (token) => {
    const raw = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'ben' }) } });
    const reply = await raw.call({ subscribe: { channel, ...(token && { token }) } });
    return reply.error?.code ?? reply.closed?.code ?? 0;
  };
  assert.equal(await attempt(), 103);
  assert.equal(await attempt('nonsense'), 103);
  assert.equal(await attempt(tokenOf({ sub: 'ben', channel }, { secret: 'no' })), 103);
  assert.equal(await attempt(tokenOf({ sub: 'ben', channel, exp: 1 })), 109);
  assert.equal(await attempt(tokenOf({ sub: 'ann', channel })), 3500);
  assert.equal(await attempt(tokenOf({ sub: 'ben', channel: '$other' })), 3500);
  assert.equal(await attempt(tokenOf({ sub: 'ben' })), 3500);
  assert.equal(await attempt(tokenOf({ sub: 'ben', channel, client: 'another' })), 3500);
  assert.equal(await attempt(tokenOf({ sub: 'ben', channel })), 0);
  // Nobody reads or writes around it.
  const outside = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'eve' }) } });
  for (const command of [{ publish: { channel, data: 1 } }, { history: { channel, limit: 5 } }, { presence: { channel } }, { presence_stats: { channel } }])
    assert.equal((await outside.call(command)).error?.code, 103, JSON.stringify(command));
  const typed = await server.typed({ path: `/ws?format=object&token=${tokenOf({ sub: 'eve' })}` });
  assert.equal((await typed.request(TYPE.subscribe, { channel })).payload.error.code, 103);
  assert.equal((await server.get(`/channels/${encodeURIComponent(channel)}`)).status, 403);
});

test('a subscription ends with its own token, and the library brings a new one', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' }, { limits: { refresh_ms: 500 } });
  const client = await channelsClient(t, server, { token: tokenOf({ sub: 'ann' }) });
  let asked = 0;
  const sub = await subscribed(client, '$news', { getToken: async () => tokenOf({ sub: 'ann', channel: '$news', exp: inSeconds(++asked === 1 ? 2 : 3600) }) });
  await until(() => asked === 2, 'the refresh');
  await sleep(3000);
  assert.equal(sub.seen.some((e) => e.name === 'unsubscribed' || (e.name === 'subscribing' && e.code !== 0)), false);
  const raw = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'ann' }) } });
  const reply = await raw.call({ subscribe: { channel: '$news', token: tokenOf({ sub: 'ann', channel: '$news', exp: inSeconds(1) }) } });
  assert.equal(reply.subscribe.expires, true);
  const { unsubscribe } = (await until(() => raw.pushes('unsubscribe')[0], 'its end', 15000));
  assert.equal(unsubscribe.code, 2501);
});

test('channels of users are for those whose names are in it', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' });
  const channel = 'dialog#ann,ben';
  for (const [user, code] of [['ann', 0], ['ben', 0], ['eve', 103], ['', 103], ['ann,ben', 103]]) {
    const raw = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: user }) } });
    assert.equal((await raw.call({ subscribe: { channel } })).error?.code ?? 0, code, user);
    const typed = await server.typed({ path: `/ws?format=object&token=${tokenOf({ sub: user })}` });
    assert.equal((await typed.request(TYPE.subscribe, { channel })).payload.error?.code ?? 0, code, `${user}, typed`);
  }
});

test('a token brings its channels, and a channel of another user by the operator\'s will', async (t) => {
  const server = await start(t, { hmac_secret_file: 'hmac.secret' });
  const raw = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'eve', subs: { 'dialog#ann': { data: { by: 'token' } }, $news: {} }, channels: ['no'] }) } });
  assert.deepEqual(Object.keys(raw.replies[0].connect.subs).sort(), ['$news', 'dialog#ann']);
  assert.deepEqual(raw.replies[0].connect.subs['dialog#ann'].data, { by: 'token' });
  const list = await RawChannels.open(t, server, { connect: { token: tokenOf({ sub: 'eve', channels: ['a', 'b'] }) } });
  assert.deepEqual(Object.keys(list.replies[0].connect.subs).sort(), ['a', 'b']);
});

test('where clients may not read the history, positions are not looked at, and polling needs the key', async (t) => {
  const server = await start(t, { anonymous: true }, { namespace: [{ name: 'default', history: 10, read_history: false }] });
  const first = await server.api('publish', { channel: 'news', data: 1 });
  const raw = await RawChannels.open(t, server);
  const { subscribe } = await raw.call({ subscribe: { channel: 'news', recover: true, recoverable: true, offset: 0, epoch: first.epoch } });
  assert.deepEqual([subscribe.recoverable, subscribe.recovered, subscribe.publications], [undefined, undefined, undefined]);
  assert.equal((await raw.call({ history: { channel: 'news', limit: 5 } })).error.code, 103);
  const typed = await server.typed({ path: '/ws?format=object' });
  const answer = await typed.request(TYPE.subscribe, { channel: 'news', epoch: first.epoch, offset: 0, history: 5 });
  assert.deepEqual([answer.payload.recovered, answer.payload.publications], [undefined, 0]);
  assert.equal((await server.get('/channels/news')).status, 403);
  assert.equal((await server.api('history', { channel: 'news', limit: 5 })).publications.length, 1);
});

test('crier token signs with a private key what a server with the public one takes', async (t) => {
  const dir = temporary(t);
  const run = promisify(execFile);
  writeFileSync(join(dir, 'public.pem'), ['rsa', 'ec', 'ed'].map((name) => pem(pairs[name].publicKey)).join(''));
  const server = await start(t, { public_key_file: join(dir, 'public.pem') });
  for (const [name, args] of [['rsa', []], ['rsa', ['--alg', 'PS384', '--kid', 'x']], ['ec', []], ['ed', []]]) {
    writeFileSync(join(dir, 'private.pem'), pem(pairs[name].privateKey));
    const { stdout, stderr } = await run(binary, ['token', '-c', server.configPath, '--user', 'ann', '--key', join(dir, 'private.pem'), ...args]);
    assert.equal(stderr, '');
    assert.equal(await admitted(server, stdout.trim()), true, name);
  }
  writeFileSync(join(dir, 'private.pem'), pem(pairs.other.privateKey));
  const { stderr } = await run(binary, ['token', '-c', server.configPath, '--user', 'ann', '--key', join(dir, 'private.pem')]);
  assert.match(stderr, /this configuration refuses the token: wrong signature/);
  await assert.rejects(run(binary, ['token', '-c', server.configPath, '--user', 'ann', '--key', join(dir, 'private.pem'), '--alg', 'HS256']), { code: 64 });
  await assert.rejects(run(binary, ['token', '-c', server.configPath, '--user', 'ann', '--key', join(dir, 'public.pem')]), { code: 78 });
  writeFileSync(join(dir, 'private.pem'), pem(pairs.ec.privateKey));
  const channel = await run(binary, ['token', '-c', server.configPath, '--user', 'ann', '--channel', '$news', '--info', '{"a":1}', '--key', join(dir, 'private.pem')]);
  const raw = await RawChannels.open(t, server, { connect: { token: keyTokenOf({ sub: 'ann' }, pairs.ed.privateKey) } });
  assert.ok((await raw.call({ subscribe: { channel: '$news', token: channel.stdout.trim() } })).subscribe);
});

test('no token, key or claim is in the log', async (t) => {
  const keys = await keyServer(t);
  keys.keys = [jwk(pairs.ec, 'k')];
  const server = await start(t, { jwks_url: keys.url, hmac_secret_file: 'hmac.secret' });
  const token = tokenOf({ sub: 'ann', email: 'ann@example.test' }, { secret: 'wrong' });
  assert.equal(await admitted(server, token), false);
  const raw = await RawChannels.open(t, server, { connect: null });
  raw.send({ id: 1, connect: { token } });
  await raw.closed;
  await until(() => (server.logs().match(/token refused/g) ?? []).length === 2, 'two lines');
  for (const secret of token.split('.')) assert.ok(!server.logs().includes(secret));
});

test('what a token says of a single subscription goes before the namespace', async (t) => {
  const namespace = [{ name: 'open', history: 10, publish: true, presence: true, join_leave: true, push_join_leave: true, force_recovery: true },
    { name: 'shut', history: 10, presence: true, force_recovery: false }];
  const server = await startCrier({ t, config: { namespace } });
  const connect = async (sub, channel, override) => {
    const values = Object.fromEntries(Object.entries(override).map(([name, value]) => [name, { value }]));
    const raw = await RawChannels.open(t, server, { connect: { token: server.token({ sub, subs: { [channel]: { override: values } } }) } });
    return Object.assign(raw, { result: raw.replies[0].connect.subs[channel] });
  };
  const users = async (channel) => {
    const { presence } = await server.api('presence', { channel });
    return Object.values(presence).map((p) => p.user).sort();
  };
  const told = (raw) => raw.pushes().flatMap((p) => (p.join ? [`+${p.join.info.user}`] : p.leave ? [`-${p.leave.info.user}`] : []));

  const watcher = await connect('watcher', 'open:a', {});
  await connect('hidden', 'open:a', { presence: false });
  const silent = await connect('silent', 'open:a', { join_leave: false });
  const deaf = await connect('deaf', 'open:a', { force_push_join_leave: false });
  silent.socket.close();
  await until(async () => !(await users('open:a')).includes('silent'), 'the leave');
  await connect('last', 'open:a', {});
  await until(() => told(watcher).includes('+last'), 'joins');
  assert.deepEqual(told(watcher), ['+watcher', '+hidden', '+deaf', '+last']);
  assert.deepEqual(told(deaf), []);
  assert.deepEqual(await users('open:a'), ['deaf', 'last', 'watcher']);
  assert.deepEqual(await server.api('presence_stats', { channel: 'open:a' }), { num_clients: 3, num_users: 3 });

  const plain = await connect('plain', 'shut:a', {});
  const loud = await connect('loud', 'shut:a', { join_leave: true, force_push_join_leave: true, force_recovery: true });
  await connect('guest', 'shut:a', { join_leave: true });
  await until(() => told(loud).length === 2, 'joins');
  assert.deepEqual([told(loud), told(plain)], [['+loud', '+guest'], []]);
  assert.deepEqual([plain.result.recoverable, loud.result.recoverable], [undefined, true]);
  const off = await connect('off', 'open:b', { force_recovery: false });
  assert.deepEqual([off.result.recoverable, watcher.result.recoverable], [undefined, true]);
});
