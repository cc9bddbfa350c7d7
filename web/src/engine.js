// The engine: native/picolink.c as WebAssembly, an instance for each (native/wasm/picolink_wasm.c). The calls
// are those of picolink.pyengine.

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

let module_;

async function load() {
  const url = new URL("picolink.wasm", import.meta.url);
  if (url.protocol === "file:") return WebAssembly.compile(await (await import("node:fs/promises")).readFile(url));
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
  const { exports: core } = await WebAssembly.instantiate(await module_);
  const { txSize = 8192, rxSize = 8192, window = 4096, commit = false, key, seed } = options;
  // Views of its memory are made anew each time: growing would end them.
  const bytesAt = (at, size) => new Uint8Array(core.memory.buffer, at, size);
  const putPacket = (bytes) => bytesAt(core.packet(), bytes.length).set(bytes);

  putPacket(identity);
  if (identity.length !== 8 || !core.init(session, txSize, rxSize, window, commit)) {
    const given = [session, identity, txSize, rxSize, window].join(", ");
    throw new RangeError(`session, identity, a ring or window is out of its range: ${given}`);
  }
  if (key) {
    if (key.length !== 32 || seed?.length !== 32) throw new RangeError("key and seed have 32 bytes");
    if (!core.setKey) throw new Error("this picolink.wasm was built without keys");
    putPacket([...key, ...seed]);
    core.setKey();
  }
  const { start, bye, takeFlags, wait, pending, acknowledged } = core;
  return {
    start,
    bye,
    takeFlags,
    wait,
    pending,
    acknowledged,
    get state() {
      return core.member(0);
    },
    get ended() {
      return core.member(1) !== 0;
    },
    get peerVersion() {
      return core.member(2);
    },
    get reason() {
      return core.member(3);
    },
    get partner() {
      const at = core.partner();
      return at ? bytesAt(at, 8).slice() : null;
    },
    setPartner(identity) {
      if (identity) putPacket(identity);
      core.setPartner(Boolean(identity));
    },
    end: () => core.end() !== 0,

    /** Queue a message of bytes. Returns whether there was room; RangeError: it never fits. */
    send(bytes, channel = 0, kind = BYTES) {
      if (!(channel >= 0 && channel <= 15)) throw new RangeError(`a channel is a number from 0 to 15, not ${channel}`);
      const { length } = bytes;
      const limit = core.limit();
      if (length < limit) bytesAt(core.message(), length).set(bytes);
      const said = length < limit ? core.send(channel | (kind << 4), length) : 2;
      if (said > 1) throw new RangeError(`a message of ${length} bytes never fits: ${limit} with its header at most`);
      return said === 0;
    },

    /** The next message: [first byte of its record, its bytes], or null. */
    recv() {
      const said = core.recv();
      return said < 0 ? null : [said >> 16, bytesAt(core.message(), said & 0xffff).slice()];
    },
    /** 0x100 + the first byte of the message that recv() has to give, or 0: it has none. */
    readable: core.readable,
    /** Whether it could; false: the engine was made without `commit`. */
    commit: () => core.commit() !== 0,

    /** The next packet for the air, bytes of its own; null: there is nothing to say. */
    pull(now) {
      const size = core.pull(now);
      return size ? bytesAt(core.packet(), size).slice() : null;
    },
    feed(bytes, now) {
      // Longer than any packet: the engine has to count it, and looks only at the length.
      const packet = bytes.subarray(0, PACKET + 1);
      putPacket(packet);
      return core.feed(packet.length, now);
    },
    stats() {
      const view = new DataView(core.memory.buffer, core.stats());
      return Object.fromEntries(STATS.split(" ").map((name, i) => [name, view.getUint32(4 * i, true)]));
    },
  };
}
