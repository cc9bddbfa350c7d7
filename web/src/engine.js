// The engine: native/picolink.c as WebAssembly, an instance for each. The calls are those of picolink.pyengine.

// Flags that feed() and takeFlags() report.
export const READABLE = 0x01, WRITABLE = 0x02, PULL = 0x04, OPENED = 0x08, PEER_RESTARTED = 0x10, FORGOTTEN = 0x20;
export const TOO_LARGE = 0x40, REFUSED = 0x80, BROKEN = 0x100, PEER_ENDED = 0x200, CONTRADICTED = 0x400, BYE = 0x800;

// States.
export const IDLE = 0, GREETING = 1, OPEN = 2, CLOSED = 3;

// Why a side ends a connection.
export const CLOSING = 1, PROGRAM_FAILED = 2, PARTNER_KNOWN = 3, OTHER_VERSION = 4, KEY_WANTED = 5, KEY_WRONG = 6;
export const NONSENSE = 7, PACKETS_SMALL = 8;

// Kinds of messages.
export const BYTES = 0, TEXT = 1, OBJECT = 2, NEWEST = 4;

const STATS =
  "messages_sent messages_received messages_acknowledged packets_sent packets_received acks_alone retransmitted " +
  "timeouts gaps_resent probes gaps duplicates corrupt malformed stale early overruns strangers contradictions " +
  "dropped opened peer_restarts resent too_large replayed unproven rtt_ms flight_limit";
const PACKET = 244;
const PULL_MAX = 236;
const PAGE = 65536; // of WebAssembly's memory

let module_;

async function load() {
  const url = new URL("picolink.wasm", import.meta.url);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: HTTP status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** A new engine. The arguments are those of the one in Python; see picolink.d.ts. */
export async function newEngine(session, identity, options = {}) {
  module_ ??= load().catch((error) => {
    module_ = undefined; // the next one tries again
    throw error;
  });
  return new Engine((await WebAssembly.instantiate(await module_)).exports, session, identity, options);
}

class Engine {
  #core;
  #at; // addresses: of the engine, of a packet, of a message, of what describes a message

  constructor(core, session, identity, { txSize = 8192, rxSize = 8192, window = 4096, commit = false, key, seed }) {
    this.#core = core;
    const size = core.picolink_engine_bytes(txSize, rxSize);
    if (!size) throw new RangeError(`rings have a power of two from 256 to 32768 bytes, not ${txSize} and ${rxSize}`);
    let top = core.__heap_base.value;
    const take = (bytes) => {
      const at = (top + 15) & ~15;
      top = at + bytes;
      return at;
    };
    this.#at = { engine: take(size), keys: take(core.picolink_keys_bytes()), packet: take(256) };
    Object.assign(this.#at, { shown: take(32), message: take(txSize) });
    const more = Math.ceil((top - core.memory.buffer.byteLength) / PAGE);
    if (more > 0) core.memory.grow(more);
    const { engine, keys, packet } = this.#at;
    if (identity.length !== 8 || !this.#put(packet, identity, 8) || !core.picolink_is_identity(packet, 8)) {
      throw new RangeError("an identity has 8 bytes that are not all 0");
    }
    if (!core.picolink_init(engine, session, packet, txSize, rxSize, window, commit)) {
      throw new RangeError(`session ${session} or window ${window} is out of its range`);
    }
    if (key) {
      if (key.length !== 32 || seed?.length !== 32) throw new RangeError("key and seed have 32 bytes");
      this.#put(packet, key, 64);
      this.#put(packet + 32, seed, 32);
      core.picolink_set_key(engine, keys, packet, packet + 32);
      this.#bytes(packet, 64).fill(0);
    }
  }

  // Its memory cannot grow any more, but a view of it must not outlive a call that makes another one.
  #bytes(at, size) {
    return new Uint8Array(this.#core.memory.buffer, at, size);
  }

  #put(at, bytes, room) {
    if (bytes.length > room) return false;
    this.#bytes(at, bytes.length).set(bytes);
    return true;
  }

  #member(place) {
    return this.#bytes(this.#at.engine, 4)[place]; // the first members of picolink_engine_t are for others
  }

  get state() {
    return this.#member(0);
  }
  get ended() {
    return this.#member(1) !== 0;
  }
  get peerVersion() {
    return this.#member(2);
  }
  get reason() {
    return this.#member(3);
  }
  get partner() {
    const at = this.#core.picolink_partner(this.#at.engine);
    return at ? this.#bytes(at, 8).slice() : null;
  }

  setPartner(identity) {
    if (identity) this.#put(this.#at.packet, identity, 8);
    this.#core.picolink_set_partner(this.#at.engine, identity ? this.#at.packet : 0);
  }

  start(mtu, now) {
    this.#core.picolink_start(this.#at.engine, mtu, now);
  }
  bye(reason) {
    this.#core.picolink_bye(this.#at.engine, reason);
  }
  end() {
    return this.#core.picolink_end(this.#at.engine) !== 0;
  }

  /** Queue a message of bytes. Returns whether there was room; RangeError: it never fits. */
  send(bytes, channel = 0, kind = BYTES) {
    if (!(channel >= 0 && channel <= 15)) throw new RangeError(`a channel is a number from 0 to 15, not ${channel}`);
    const { engine, message } = this.#at;
    const fits = this.#put(message, bytes, this.#core.picolink_record_limit(engine));
    const said = fits ? this.#core.picolink_send(engine, channel | (kind << 4), message, bytes.length) : 2;
    if (said < 2) return said === 0;
    const limit = this.#core.picolink_record_limit(engine);
    throw new RangeError(`a message of ${bytes.length} bytes never fits: ${limit} with its header at most`);
  }

  /** The next message: [first byte of its record, its bytes], or null. */
  recv() {
    const { engine, shown } = this.#at;
    if (!this.#core.picolink_peek(engine, shown)) return null;
    const view = new DataView(this.#core.memory.buffer, shown, 16);
    const size = view.getUint16(8, true);
    const more = view.getUint16(10, true);
    const bytes = new Uint8Array(size + more);
    bytes.set(this.#bytes(view.getUint32(0, true), size));
    if (more) bytes.set(this.#bytes(view.getUint32(4, true), more), size);
    const first = view.getUint8(12);
    this.#core.picolink_release(engine);
    return [first, bytes];
  }

  readable() {
    return this.#core.picolink_peek(this.#at.engine, this.#at.shown) !== 0;
  }

  /** Whether it could; false: the engine was made without `commit`. */
  commit() {
    return this.#core.picolink_commit(this.#at.engine) !== 0;
  }

  /** The next packet for the air, bytes of its own; null: there is nothing to say. */
  pull(now) {
    const { engine, packet } = this.#at;
    const size = this.#core.picolink_pull(engine, packet, PULL_MAX, now);
    return size ? this.#bytes(packet, size).slice() : null;
  }

  feed(bytes, now) {
    const { engine, packet } = this.#at;
    // Longer than any packet: the engine has to count it, and looks only at the length.
    const size = Math.min(bytes.length, PACKET + 1);
    this.#put(packet, bytes.subarray(0, size), 256);
    return this.#core.picolink_feed(engine, packet, size, now);
  }

  takeFlags() {
    return this.#core.picolink_take_flags(this.#at.engine);
  }
  wait(now) {
    return this.#core.picolink_wait(this.#at.engine, now);
  }
  pending() {
    return this.#core.picolink_pending(this.#at.engine);
  }
  acknowledged() {
    return this.#core.picolink_acknowledged(this.#at.engine);
  }

  stats() {
    const at = this.#core.picolink_stats(this.#at.engine);
    const view = new DataView(this.#core.memory.buffer, at);
    return Object.fromEntries(STATS.split(" ").map((name, i) => [name, view.getUint32(4 * i, true)]));
  }
}
