// What a message is: bytes, text, or an object as MessagePack: docs/protocol.md, "Records".
import { BYTES, OBJECT, TEXT } from "./engine.js";

const DEPTH = 16; // containers inside each other
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** [kind, bytes] of a message. */
export function payload(message) {
  if (typeof message === "string") return [TEXT, encoder.encode(message)];
  const bytes = bytesOf(message);
  return bytes ? [BYTES, bytes] : [OBJECT, pack(message)];
}

/** What came.   first: its record's first byte. */
export function valueOf(first, bytes) {
  const kind = (first >> 4) & 3;
  return kind === OBJECT ? unpack(bytes) : kind === TEXT ? decoder.decode(bytes) : bytes;
}

const bytesOf = (value) =>
  value instanceof ArrayBuffer
    ? new Uint8Array(value)
    : ArrayBuffer.isView(value) && new Uint8Array(value.buffer, value.byteOffset, value.byteLength);

/** An object as MessagePack: null, booleans, numbers, bigints, strings, bytes, arrays, plain objects, Maps. */
export function pack(value) {
  const out = [];
  put(out, value, "message", DEPTH);
  return Uint8Array.from(out);
}

const isInteger = (value) => typeof value === "bigint" || Number.isSafeInteger(value);

function put(out, value, where, depth) {
  const bytes = typeof value === "string" ? encoder.encode(value) : bytesOf(value);
  if (bytes) {
    if (typeof value === "string") putLength(out, 0xa0, 0x20, 0xd9, bytes.length);
    else putNumber(out, 0xc4, BigInt(bytes.length));
    for (const byte of bytes) out.push(byte);
  } else if (value === null || value === undefined) out.push(0xc0);
  else if (typeof value === "boolean") out.push(0xc2 + value);
  else if (isInteger(value)) putInteger(out, BigInt(value), where);
  else if (typeof value === "number") {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value);
    if (Number.isFinite(value) && !Number.isFinite(view.getFloat32(0))) {
      throw new RangeError(`${where} is too large for a float of 32 bits: ${value}`);
    }
    out.push(0xca, ...bytesOf(view));
  } else if (Array.isArray(value)) {
    putLength(out, 0x90, 0x10, 0xdb, value.length, 1, depth, where);
    value.forEach((item, i) => put(out, item, `${where}[${i}]`, depth - 1));
  } else if (value instanceof Map || Object.getPrototypeOf(value) === Object.prototype) {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    putLength(out, 0x80, 0x10, 0xdd, entries.length, 1, depth, where);
    for (const [key, item] of entries) {
      if (typeof key !== "string" && !isInteger(key)) {
        throw new TypeError(`${where} has the key ${key}: keys are strings or integers`);
      }
      put(out, key);
      put(out, item, `${where}[${JSON.stringify(String(key))}]`, depth - 1);
    }
  } else throw new TypeError(`${where} is of a type that cannot be sent: ${Object.prototype.toString.call(value)}`);
}

function putInteger(out, value, where) {
  if (value < -(1n << 63n) || value >= 1n << 64n) throw new RangeError(`${where} is an integer of more than 64 bits`);
  if (value >= -0x20n && value < 0x80n) out.push(Number(value & 0xffn));
  else putNumber(out, value > 0n ? 0xcc : 0xd0, value, 0, value > 0n ? value : ~value << 1n);
}

function putLength(out, short, limit, long, length, log, depth = 1, where) {
  if (!depth) throw new RangeError(`${where}: more than ${DEPTH} containers inside each other`);
  if (length < limit) out.push(short | length);
  else putNumber(out, long, BigInt(length), log);
}

/** In the fewest bytes, which the code says: 2 to the power of `log` or more, as many as `needs` has. */
function putNumber(out, code, value, log = 0, needs = value) {
  while (needs >> BigInt(8 << log)) log += 1;
  out.push(code + log);
  for (let shift = 8 << log; (shift -= 8) >= 0; ) out.push(Number((value >> BigInt(shift)) & 0xffn));
}

const NUMBERS = "Float32 Float64 Uint8 Uint16 Uint32 BigUint64 Int8 Int16 Int32 BigInt64".split(" "); // from 0xca on

/** The object that these bytes are. Objects for maps; bigints where a number is not exact. */
export function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let owed = 1; // items that are still to come: each has a byte or more
  const wrong = (place, what) => new RangeError(`no object for picolink at byte ${place}: ${what}`);
  const item = (depth) => {
    const start = at;
    const take = (size, what = "it ends before what it announces") => {
      if (size > bytes.length - at - owed) throw wrong(start, what);
      at += size;
      return at - size;
    };
    const binary = (size) => bytes.slice(take(size), at);
    const text = (size) => {
      const encoded = binary(size);
      try {
        return decoder.decode(encoded);
      } catch {
        throw wrong(start, "a text that is not UTF-8");
      }
    };
    const number = (i) => {
      const [bits] = /\d+/.exec(NUMBERS[i]);
      const value = view[`get${NUMBERS[i]}`](take(bits / 8));
      return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    };
    const length = (log) => number(2 + log);
    const all = (size, each, read) => {
      if (!depth) throw wrong(start, `more than ${DEPTH} containers inside each other`);
      owed += size * each;
      take(0);
      return Array.from({ length: size }, read);
    };
    const array = (size) => all(size, 1, () => item(depth - 1));
    const map = (size) => Object.fromEntries(all(size, 2, entry));
    const entry = () => {
      const first = bytes[at];
      const isInt = first < 0x80 || first > 0xdf || (first > 0xcb && first < 0xd4);
      const isText = (first > 0x9f && first < 0xc0) || (first > 0xd8 && first < 0xdc);
      if (isInt || isText) return [item(depth - 1), item(depth - 1)];
      throw wrong(at, "a key that is neither text nor integer");
    };
    owed -= 1;
    const first = bytes[take(1, "nothing is there")];
    if (first < 0x80) return first;
    if (first < 0x90) return map(first & 15);
    if (first < 0xa0) return array(first & 15);
    if (first < 0xc0) return text(first & 31);
    if (first === 0xc0) return null;
    if (first === 0xc2 || first === 0xc3) return first > 0xc2;
    if (first > 0xc3 && first < 0xc7) return binary(length(first - 0xc4));
    if (first > 0xc9 && first < 0xd4) return number(first - 0xca);
    if (first > 0xd8 && first < 0xdc) return text(length(first - 0xd9));
    if (first > 0xdb && first < 0xde) return array(length(first - 0xdb));
    if (first > 0xdd && first < 0xe0) return map(length(first - 0xdd));
    if (first > 0xdf) return first - 0x100;
    throw wrong(start, `0x${first.toString(16)} is no type that picolink takes`);
  };
  const value = item(DEPTH);
  if (at < bytes.length) throw wrong(at, "more follows the object");
  return value;
}
