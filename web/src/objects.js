// What a message is: bytes, text, or an object as MessagePack: docs/protocol.md, "Records".
import { BYTES, OBJECT, TEXT } from "./engine.js";

const DEPTH = 16; // containers inside each other
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** [kind, bytes] of a message. */
export function payload(message) {
  if (typeof message === "string") return [TEXT, encoder.encode(message)];
  if (message instanceof ArrayBuffer) return [BYTES, new Uint8Array(message)];
  if (ArrayBuffer.isView(message)) return [BYTES, bytesOf(message)];
  return [OBJECT, pack(message)];
}

/** What came.   first: its record's first byte. */
export function valueOf(first, bytes) {
  const kind = (first >> 4) & 3;
  return kind === OBJECT ? unpack(bytes) : kind === TEXT ? decoder.decode(bytes) : bytes;
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** An object as MessagePack: null, booleans, numbers, bigints, strings, bytes, arrays, plain objects, Maps. */
export function pack(value) {
  const out = [];
  put(out, value, "message", DEPTH);
  return Uint8Array.from(out);
}

function put(out, value, where, depth) {
  if (value === null || value === undefined) out.push(0xc0);
  else if (typeof value === "boolean") out.push(value ? 0xc3 : 0xc2);
  else if (typeof value === "bigint" || Number.isSafeInteger(value)) putInteger(out, BigInt(value), where);
  else if (typeof value === "number") putFloat(out, value, where);
  else if (typeof value === "string") {
    const bytes = encoder.encode(value);
    putLength(out, 0xa0, 0x20, 0xd9, bytes.length);
    out.push(...bytes);
  } else if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : bytesOf(value);
    putLength(out, 0, 0, 0xc4, bytes.length);
    for (const byte of bytes) out.push(byte);
  } else if (Array.isArray(value)) {
    below(depth, where);
    putLength(out, 0x90, 0x10, 0xdb, value.length);
    value.forEach((item, i) => put(out, item, `${where}[${i}]`, depth - 1));
  } else if (value instanceof Map || Object.getPrototypeOf(value) === Object.prototype) {
    below(depth, where);
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    putLength(out, 0x80, 0x10, 0xdd, entries.length);
    for (const [key, item] of entries) {
      if (typeof key !== "string" && !Number.isSafeInteger(key) && typeof key !== "bigint") {
        throw new TypeError(`${where} has the key ${key}: keys are strings or integers`);
      }
      put(out, key, where, depth);
      put(out, item, `${where}[${JSON.stringify(String(key))}]`, depth - 1);
    }
  } else throw new TypeError(`${where} is of a type that cannot be sent: ${Object.prototype.toString.call(value)}`);
}

function below(depth, where) {
  if (!depth) throw new RangeError(`${where}: more than ${DEPTH} containers inside each other`);
}

function putInteger(out, value, where) {
  if (value < -(1n << 63n) || value >= 1n << 64n) throw new RangeError(`${where} is an integer of more than 64 bits`);
  if (value >= -0x20n && value < 0x80n) out.push(Number(value & 0xffn));
  else if (value > 0n) putHead(out, 0xcc, value, value);
  else putHead(out, 0xd0, ~value << 1n, value);
}

function putFloat(out, value, where) {
  const rounded = Math.fround(value);
  if (Number.isFinite(value) && !Number.isFinite(rounded)) {
    throw new RangeError(`${where} is too large for a float of 32 bits: ${value}`);
  }
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, rounded);
  out.push(0xca, ...new Uint8Array(view.buffer));
}

function putLength(out, short, limit, long, length) {
  if (length < limit) out.push(short | length);
  else putHead(out, long, BigInt(long >= 0xdb ? Math.max(length, 0x100) : length), BigInt(length));
}

/** needs: a number that takes as many bytes as this one has to have. */
function putHead(out, code, needs, value) {
  const log = needs < 0x100n ? 0 : needs < 0x10000n ? 1 : needs < 0x100000000n ? 2 : 3;
  out.push(code + log);
  for (let shift = (8 << log) - 8; shift >= 0; shift -= 8) out.push(Number((value >> BigInt(shift)) & 0xffn));
}

/** The object that these bytes are. Objects for maps; bigints where a number is not exact. */
export function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const wrong = (place, what) => new RangeError(`no object for picolink at byte ${place}: ${what}`);
  const take = (size, start) => {
    if (at + size > bytes.length) throw wrong(start, "it ends before what it announces");
    at += size;
    return at - size;
  };
  const integer = (width, signed, start) => {
    const place = take(width, start);
    let value = 0n;
    for (let i = 0; i < width; i++) value = (value << 8n) | BigInt(bytes[place + i]);
    if (signed) value = BigInt.asIntN(8 * width, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  };
  const text = (size, start) => {
    try {
      const place = take(size, start);
      return decoder.decode(bytes.subarray(place, place + size));
    } catch (error) {
      throw error instanceof TypeError ? wrong(start, "a text that is not UTF-8") : error;
    }
  };
  const binary = (size, start) => {
    const place = take(size, start);
    return bytes.slice(place, place + size);
  };
  const container = (size, depth, start, fill) => {
    if (!depth) throw wrong(start, `more than ${DEPTH} containers inside each other`);
    if (size > bytes.length - at) throw wrong(start, "it ends before what it announces");
    return fill();
  };
  const array = (size, depth, start) =>
    container(size, depth, start, () => Array.from({ length: size }, () => item(depth - 1)));
  const map = (size, depth, start) =>
    container(size, depth, start, () => {
      const entries = {};
      for (let i = 0; i < size; i++) {
        const place = at;
        const key = item(depth - 1);
        if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint") {
          throw wrong(place, "a key that is neither text nor integer");
        }
        // Not by assignment: "__proto__" is a key like any other.
        Object.defineProperty(entries, key, { value: item(depth - 1), enumerable: true, writable: true, configurable: true });
      }
      return entries;
    });
  const item = (depth) => {
    const start = at;
    if (at >= bytes.length) throw wrong(at, "nothing is there");
    const first = bytes[at++];
    if (first < 0x80) return first;
    if (first >= 0xe0) return first - 0x100;
    if (first < 0x90) return map(first & 15, depth, start);
    if (first < 0xa0) return array(first & 15, depth, start);
    if (first < 0xc0) return text(first & 31, start);
    if (first === 0xc0) return null;
    if (first === 0xc2 || first === 0xc3) return first === 0xc3;
    if (first >= 0xc4 && first <= 0xc6) return binary(integer(1 << (first - 0xc4), false, start), start);
    if (first === 0xca) return view.getFloat32(take(4, start));
    if (first === 0xcb) return view.getFloat64(take(8, start));
    if (first >= 0xcc && first <= 0xcf) return integer(1 << (first - 0xcc), false, start);
    if (first >= 0xd0 && first <= 0xd3) return integer(1 << (first - 0xd0), true, start);
    if (first >= 0xd9 && first <= 0xdb) return text(integer(1 << (first - 0xd9), false, start), start);
    if (first === 0xdc || first === 0xdd) return array(integer(2 << (first - 0xdc), false, start), depth, start);
    if (first === 0xde || first === 0xdf) return map(integer(2 << (first - 0xde), false, start), depth, start);
    throw wrong(start, `0x${first.toString(16)} is no type that picolink takes`);
  };
  const value = item(DEPTH);
  if (at < bytes.length) throw wrong(at, "more follows the object");
  return value;
}
