// JSON Web Tokens made by Node's own crypto.
import { createHmac, sign } from 'node:crypto';
import { SECRET } from './crier.mjs';

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
export const inSeconds = (s) => Math.floor(Date.now() / 1000) + s;

/** Signed with the secret of the tests; an hour, unless the claims say otherwise. */
export function tokenOf(claims, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const text = `${base64url(header)}.${base64url({ exp: inSeconds(3600), ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** Signed with a private key: RS256, ES256 or EdDSA by its kind. */
export function keyTokenOf(claims, key, kid) {
  const alg = { rsa: 'RS256', ec: 'ES256', ed25519: 'EdDSA' }[key.asymmetricKeyType];
  const text = `${base64url({ alg, typ: 'JWT', ...(kid && { kid }) })}.${base64url({ exp: inSeconds(3600), ...claims })}`;
  const signature = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text), alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key);
  return `${text}.${signature.toString('base64url')}`;
}
