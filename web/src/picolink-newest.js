// Channels of which only the newest value counts: py/picolink/newest.py.
import { payload, valueOf } from "./picolink-objects.js";

const NEWEST = 4, TOO_LARGE = 0x40; // of engine.js
const HEADER = 4;
const AHEAD = 16; // values on their way at once, at most

/** Stands where a link reads from its engine, and hands over what comes on channels that are taken: py/picolink/sorting.py.
 * A taker has ready(), whether it can take a message now, and take(message). */
class Sorter {
  takers = new Map();
  #engine;
  #link;
  #handed = false; // has the program got messages that it has not committed?

  constructor(link) {
    this.#engine = link.messages;
    this.#link = link;
  }
  readable() {
    for (;;) {
      const first = this.#engine.readable();
      const taker = first && this.takers.get(first & 15);
      if (!taker) return first;
      if (!taker.ready()) return 0; // all that comes behind waits, too
      const message = this.#engine.recv();
      const { commits, bells } = this.#link.policy;
      if (commits && !this.#handed) {
        this.#engine.commit(); // else nothing comes any more when the ring is full
        bells.wake();
      }
      taker.take(message);
    }
  }
  recv() {
    if (!this.readable()) return null;
    const message = this.#engine.recv();
    this.#handed = true;
    this.readable(); // what is behind it is handed over, too
    return message;
  }
  commit() {
    this.#handed = false;
    return this.#engine.commit();
  }
}

/** Who takes this channel of a link, which make() makes if there is none; RangeError if it is not of this class. */
export function taker(link, channel, kind, make) {
  if (!(link.messages instanceof Sorter)) link.messages = new Sorter(link);
  const { takers } = link.messages;
  if (!takers.has(channel)) takers.set(channel, make());
  if (takers.get(channel) instanceof kind) return takers.get(channel);
  throw new RangeError(`channel ${channel} of this link is used for something else`);
}

/** The newest values of a link's side, for its policy.   channels: Newest objects. */
export class Values {
  channels = [];
  tooLarge = 0;
  #policy;

  constructor(policy) {
    this.#policy = policy;
    this.most = (policy.txSize >> 2) - HEADER; // bytes of a value
    policy.values = this; // from now on ordinary messages leave room for values
  }

  /** How many values the engine has not got. */
  waiting() {
    return this.#policy.valuesWait ? this.channels.filter((channel) => channel.waits).length : 0;
  }

  setAgain() {
    for (const channel of this.channels) channel.waits = channel.bytes !== null;
    this.#policy.valuesWait = true;
  }

  /** Give the engine the values that go with the next packet. */
  handOver() {
    const policy = this.#policy;
    // A large message in line gets its turn: values on their way would keep it out for ever.
    if (policy.line.length && policy.line[0].size > policy.txSize >> 1) return;
    policy.valuesWait = false;
    for (const channel of this.channels) {
      if (!channel.waits) continue;
      channel.waits = !this.#takes(channel);
      policy.valuesWait ||= channel.waits;
    }
  }

  #takes({ bytes, channel, kind }) {
    try {
      return this.#policy.engine.send(bytes, channel, kind);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.tooLarge += 1;
      this.#policy.note(TOO_LARGE);
      return true;
    }
  }

  /** Whether a message would leave no room for values. In an empty ring every one has its place. */
  wouldCrowd(size) {
    const pending = this.#policy.engine.pending();
    return pending > 0 && pending + size + HEADER + this.#policy.reserve > this.#policy.txSize;
  }
}

/** Of a link, once for each channel.   link: {messages, policy, wait, tell}. */
export function openChannel(link, channel) {
  if (!Number.isInteger(channel) || channel < 0 || channel > 15) {
    throw new RangeError(`a channel is a number from 0 to 15, not ${channel}`);
  }
  const { policy } = link;
  return taker(link, channel, Newest, () => {
    const made = new Newest(channel, policy, link);
    (policy.values ?? new Values(policy)).channels.push(made);
    return made;
  });
}

/** link.newest(channel): see picolink.d.ts. */
export class Newest {
  waits = false;
  kind = NEWEST;
  bytes = null;
  #policy;
  #link;
  #kept = 0;
  #latest;
  #isNew = false;

  constructor(channel, policy, link) {
    this.channel = channel;
    this.#policy = policy;
    this.#link = link;
  }

  send(value) {
    const [kind, bytes] = payload(value);
    const most = this.#policy.values.most;
    if (bytes.length > most) {
      throw new RangeError(`a value has at most ${most} bytes here, a quarter of txSize: not ${bytes.length}`);
    }
    this.#policy.checkOpen();
    const kept = Math.min(AHEAD * (bytes.length + HEADER), most);
    if (kept > this.#kept) {
      this.#policy.reserve += kept - this.#kept;
      this.#kept = kept;
    }
    Object.assign(this, { kind: kind | NEWEST, bytes: bytes.slice(), waits: true });
    this.#policy.valuesWait = true;
    this.#policy.wakeIdle();
  }

  latest() {
    this.#link.messages.readable();
    return this.#latest;
  }

  async recv({ timeoutMs } = {}) {
    await this.#link.wait(() => {
      this.#link.messages.readable();
      return this.#isNew;
    }, timeoutMs);
    this.#isNew = false;
    return this.#latest;
  }

  ready() {
    return true;
  }

  take([first, bytes]) {
    this.#latest = valueOf(first, bytes);
    if (!this.#isNew) {
      this.#isNew = true;
      this.#link.tell();
    }
  }
}
