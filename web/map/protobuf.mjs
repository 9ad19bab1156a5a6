/**
 * Protocol buffers for messages that are known beforehand: a table of fields is the whole schema.
 *
 *     const Point = message({ id: [1, 'string'], lat: [2, 'sint32'], tags: [3, ['string']] });
 *     Point.decode(Point.encode({ id: 'a', lat: -3 }));   // {id: 'a', lat: -3, tags: []}
 *
 * proto3 rules: zero values are not written, absent ones read as zero, unknown fields are skipped. 64-bit numbers are exact to 2^53.
 */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** Reads from bytes; throws a RangeError at the first thing that is none. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  varint() {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      if (this.at >= this.bytes.length) throw new RangeError('truncated');
      const byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError('varint too long');
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new RangeError('truncated');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  skip(wire) {
    if (wire === VARINT) this.varint();
    else if (wire === FIXED64) this.take(8);
    else if (wire === BYTES) this.take(this.varint());
    else if (wire === FIXED32) this.take(4);
    else throw new RangeError(`wire type ${wire}`);
  }
}

function writeVarint(out, value) {
  while (value >= 128) {
    out.push((value % 128) | 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
}

function writeBytes(out, bytes) {
  writeVarint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

/** Most texts are short and ASCII; for those the decoder costs more than they do. */
function readText(bytes) {
  let ascii = '';
  for (const byte of bytes) {
    if (byte > 127 || bytes.length > 40) return text.decode(bytes);
    ascii += String.fromCharCode(byte);
  }
  return ascii;
}

const unzigzag = (n) => (n % 2 ? -(n + 1) / 2 : n / 2);
const zigzag = (n) => (n < 0 ? -2 * n - 1 : 2 * n);
const signed = (n) => (n >= 2 ** 63 ? n - 2 ** 64 : n);

const kinds = {
  bool: { wire: VARINT, zero: false, read: (r) => r.varint() !== 0, write: (out, v) => out.push(v ? 1 : 0) },
  uint32: { wire: VARINT, zero: 0, read: (r) => r.varint() % 2 ** 32, write: writeVarint },
  uint64: { wire: VARINT, zero: 0, read: (r) => r.varint(), write: writeVarint },
  int64: { wire: VARINT, zero: 0, read: (r) => signed(r.varint()), write: writeVarint },
  sint32: { wire: VARINT, zero: 0, read: (r) => unzigzag(r.varint()), write: (out, v) => writeVarint(out, zigzag(v)) },
  sint64: { wire: VARINT, zero: 0, read: (r) => unzigzag(r.varint()), write: (out, v) => writeVarint(out, zigzag(v)) },
  string: { wire: BYTES, zero: '', read: (r) => readText(r.take(r.varint())), write: (out, v) => writeBytes(out, utf8.encode(v)) },
  double: {
    wire: FIXED64,
    zero: 0,
    read: (r) => {
      r.take(8);
      return r.view.getFloat64(r.at - 8, true);
    },
    write: (out, v) => out.push(...new Uint8Array(new Float64Array([v]).buffer)),
  },
};

function kindOf(type) {
  if (typeof type === 'string') return kinds[type];
  return { wire: BYTES, zero: null, read: (r) => type.decode(r.take(r.varint())), write: (out, v) => writeBytes(out, type.encode(v)) };
}

function readPacked(reader, kind, list) {
  const inner = new Reader(reader.take(reader.varint()));
  while (inner.at < inner.bytes.length) list.push(kind.read(inner));
}

/** Fields: {name: [number, kind]}; a kind is a name of the table above or a message; in a list it is repeated. */
export function message(table) {
  const fields = Object.entries(table).map(([name, [number, type]]) => {
    const repeated = Array.isArray(type);
    return { name, number, repeated, kind: kindOf(repeated ? type[0] : type) };
  });
  const byNumber = new Map(fields.map((field) => [field.number, field]));

  function decode(bytes) {
    const reader = new Reader(bytes);
    const value = {};
    for (const { name, repeated, kind } of fields) value[name] = repeated ? [] : kind.zero;
    while (reader.at < bytes.length) {
      const tag = reader.varint();
      const field = byNumber.get(Math.floor(tag / 8));
      if (field?.repeated && field.kind.wire !== BYTES && tag % 8 === BYTES) readPacked(reader, field.kind, value[field.name]);
      else if (!field || field.kind.wire !== tag % 8) reader.skip(tag % 8);
      else if (field.repeated) value[field.name].push(field.kind.read(reader));
      else value[field.name] = field.kind.read(reader);
    }
    return value;
  }

  function encode(value) {
    const out = [];
    for (const { name, number, repeated, kind } of fields) {
      const present = value[name] ?? kind.zero;
      if (!repeated && present === kind.zero) continue;
      for (const item of repeated ? (value[name] ?? []) : [present]) {
        writeVarint(out, number * 8 + kind.wire);
        kind.write(out, item);
      }
    }
    return Uint8Array.from(out);
  }

  return Object.freeze({ decode, encode });
}
