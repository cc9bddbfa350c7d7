// Keys as a program has them: py/picolink/key.py. Loaded when a link has one.

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 && 0xedb88320);
  }
  return ~crc >>> 0;
}

/** The 32 bytes that an engine wants, of a key: text that `picolink key new` prints, or 16 bytes or more.
 * They are for the link of this name: who has the key cannot be led to the board of another name. */
export async function secret(key, name) {
  const bytes = typeof key === "string" ? fromText(key.trim()) : key;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("a key is a string or a Uint8Array"); // nothing of it is shown
  if (bytes.length < 16) throw new RangeError(`a key must have 16 bytes or more, not ${bytes.length}`);
  const text = new TextEncoder();
  const plain = await sha256(text.encode("picolink key"), bytes);
  return sha256(text.encode("picolink link"), await sha256(text.encode(name)), plain);
}

function fromText(text) {
  const [, hex, check] = /^picolink-key-([0-9a-f]{64})-([0-9a-f]{8})$/.exec(text) ?? [];
  const bytes = Uint8Array.from(hex?.match(/../g) ?? [], (digits) => parseInt(digits, 16));
  if (!hex || crc32(bytes) !== parseInt(check, 16)) {
    throw new RangeError("a key as text is what `picolink key new` prints; a password is no key: it can be guessed");
  }
  return bytes;
}

const sha256 = async (...parts) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(parts.flatMap((part) => [...part]))));

/** 32 bytes that no other session has had. */
export const seed = () => crypto.getRandomValues(new Uint8Array(32));
