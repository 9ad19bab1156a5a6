// HTTP requests of tests, each on a connection of its own.
import http from 'node:http';

/** Options: headers, body (text or bytes), json (value), timeout (ms). Gives {status, headers, body, text, json}. */
export function request(port, method, path, { headers = {}, body, json, timeout = 30000, host = '127.0.0.1' } = {}) {
  const payload = json !== undefined ? JSON.stringify(json) : body;
  const all = { ...(json !== undefined && { 'Content-Type': 'application/json' }), ...headers };
  if (payload !== undefined) all['Content-Length'] ??= Buffer.byteLength(payload);
  return new Promise((done, failed) => {
    const started = performance.now();
    const req = http.request({ host, port, method, path, headers: all, agent: false }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', failed);
      res.on('end', () => {
        const bytes = Buffer.concat(parts);
        const text = bytes.toString('utf8');
        const isJson = /^application\/json/.test(res.headers['content-type'] ?? '') && text !== '';
        done({ status: res.statusCode, headers: res.headers, body: bytes, text, json: isJson ? JSON.parse(text) : undefined,
          duration: performance.now() - started });
      });
    });
    req.setTimeout(timeout, () => req.destroy(new Error(`${method} ${path}: no answer in ${timeout} ms`)));
    req.on('error', failed);
    req.end(payload);
  });
}
