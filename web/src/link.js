// The link: messages in and out for a program, and what keeps a connection: py/picolink/link.py.
import { TEXT, newEngine } from "./engine.js";
import * as lc from "./lifecycle.js";
import { openChannel } from "./picolink-newest.js";
import { payload, valueOf } from "./picolink-objects.js";
import { HANG_UP, HANG_UP_MS, LOOK_MS, LinkClosedError, PEER_CLOSED, Policy, ticksDiff } from "./policy.js";
import { Bell, TimeoutError, now, sleep, whileHidden } from "./runtime.js";

const TICK_MS = 10;
const BURST = 32; // messages read in a row before others get a turn
const LEAVE_MS = 3000;
const SHUT_MS = 5000;
const LOST = "the connection was lost";

export const printEvent = (event, detail) => console.log(`picolink: ${event}: ${detail}`);

/** A link that is not open yet, over a role: how a connection comes (picolink.d.ts, Role). */
export async function newLink(role, { key, txSize = 8192, rxSize = 8192, commit = false, ...more } = {}) {
  const options = { txSize, rxSize, commit };
  if (key !== undefined) {
    if (!role.name) throw new TypeError("a link with a key needs the name of the board");
    const { seed, secret } = await import("./picolink-key.js");
    Object.assign(options, { key: await secret(key, role.name), seed: seed() });
  }
  const session = crypto.getRandomValues(new Uint32Array(1))[0] || 1;
  return new Link(role, await newEngine(session, role.identity, options), { ...options, ...more });
}

class Link {
  engine = "wasm";
  channel = 0;
  #engine;
  #inside; // for channels of newest values; `messages`: the engine, or a Sorter in front of it
  #policy;
  #role;
  #wake = new Bell();
  #woken = false;
  #opened = new Bell();
  #readable = new Bell();
  #room = new Bell();
  #running = null;
  #given = new Bell(); // an attempt to connect is given up
  #burst = BURST;
  #unhide = () => {};

  constructor(role, engine, { txSize, commit, key, onEvent = printEvent, remember }) {
    this.#engine = engine;
    this.#role = role;
    const bells = {
      wake: () => this.#ring(),
      opened: () => this.#opened.ring(),
      readable: () => this.#readable.ring(),
      room: () => this.#room.ring(),
    };
    const policy = (this.#policy = new Policy(engine, this.engine, txSize, onEvent, bells));
    this.#inside = {
      policy,
      messages: engine,
      wait: (readable, timeoutMs) => this.#untilReadable(readable, timeoutMs),
      tell: () => this.#readable.ring(),
    };
    policy.commits = commit;
    policy.keyed = key ? 1 : 0;
    policy.noise = (size) => crypto.getRandomValues(new Uint8Array(size));
    if (remember) {
      engine.setPartner(remember.load(role.name));
      policy.met = () => remember.save(role.name, engine.partner);
      this.forget = () => {
        policy.forget();
        remember.remove(role.name);
      };
    }
    role.serve(policy);
  }

  // -- opening and closing

  async open({ timeoutMs } = {}) {
    const policy = this.#policy;
    if (policy.life !== lc.NEW) throw new Error("this link was opened already: make another one");
    await this.#role.claim();
    policy.open();
    this.#unhide = whileHidden(() => this.#ring());
    this.#running = this.#run();
    try {
      await this.#until(() => policy.life !== lc.OPENING, this.#opened, timeoutMs);
      policy.checkOpen();
    } catch (error) {
      await this.#shut("the link was not opened");
      throw error;
    }
    return this;
  }

  async close({ timeoutMs = 3000 } = {}) {
    this.#policy.close(now());
    await this.#finish(timeoutMs, "this side has closed the link");
  }

  /** As close(), but the board's program goes on, and waits for the next link. */
  async leave({ timeoutMs = LEAVE_MS } = {}) {
    this.#policy.leave(now());
    await this.#finish(timeoutMs, "this program has left");
  }

  async #finish(timeoutMs, reason) {
    while (this.#policy.closing(now(), timeoutMs)) await sleep(TICK_MS);
    await this.#shut(reason);
  }

  async #shut(reason) {
    const policy = this.#policy;
    policy.shut(reason);
    this.#given.ring();
    await Promise.race([this.#running, sleep(SHUT_MS)]);
    await this.#hangUp(reason);
    this.#unhide();
    if (this.#role.release()) policy.tellUndelivered();
  }

  // -- messages

  async send(message, { channel = 0, timeoutMs } = {}) {
    const [kind, bytes] = payload(message);
    const policy = this.#policy;
    if (!policy.line.length && policy.sendNowait(bytes, channel, kind)) return;
    policy.checkOpen();
    const turn = { size: bytes.length };
    policy.line.push(turn);
    try {
      const sent = () => policy.line[0] === turn && policy.sendFirst(bytes, channel, kind);
      await this.#until(sent, this.#room, timeoutMs);
    } finally {
      policy.line.splice(policy.line.indexOf(turn), 1);
      this.#room.ring(); // for the next in line
    }
  }

  sendNowait(message, { channel = 0 } = {}) {
    const [kind, bytes] = payload(message);
    return this.#policy.sendNowait(bytes, channel, kind);
  }

  async recv({ timeoutMs } = {}) {
    return this.#take(await this.#message(timeoutMs));
  }

  #take([first, bytes]) {
    this.channel = first & 15;
    return valueOf(first, bytes);
  }

  async #message(timeoutMs) {
    if (!this.#burst) {
      this.#burst = BURST;
      this.#policy.hasRead(now());
      await sleep(0);
    }
    await this.#untilReadable(() => this.#inside.messages.readable(), timeoutMs);
    this.#burst -= 1;
    return this.#inside.messages.recv();
  }

  async #untilReadable(readable, timeoutMs) {
    const ready = () => {
      if (readable()) return true;
      this.#checkReadable();
      this.#burst = BURST;
      this.#policy.hasRead(now());
      return false;
    };
    await this.#until(ready, this.#readable, timeoutMs);
  }

  /** For picolink-files.js. */
  get inside() {
    return this.#inside;
  }

  newest(channel) {
    return openChannel(this.#inside, channel);
  }

  #checkReadable() {
    const policy = this.#policy;
    if (policy.life === lc.NEW) policy.checkOpen();
    if (this.#engine.ended || policy.closed !== null) {
      throw new LinkClosedError(policy.closed ?? PEER_CLOSED);
    }
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      let message;
      try {
        message = await this.#message();
      } catch (error) {
        if (error instanceof LinkClosedError && this.#policy.life !== lc.FAILED) return;
        throw error;
      }
      yield this.#take(message);
    }
  }

  /** Wait until the board has all that was sent before this call. */
  async flush({ timeoutMs } = {}) {
    const policy = this.#policy;
    if (policy.life === lc.NEW) policy.checkOpen();
    let last;
    const done = () => {
      if (policy.values?.waiting()) {
        policy.checkOpen();
        return false;
      }
      if (last === undefined) {
        const { messages_sent, too_large } = this.#engine.stats();
        last = messages_sent - too_large;
      }
      const left = (last - this.#engine.stats().messages_acknowledged) >>> 0;
      if (!this.#engine.pending() || left === 0 || left >= 0x80000000) return true;
      policy.checkOpen();
      return false;
    };
    policy.flushes += 1;
    try {
      await this.#until(done, this.#room, timeoutMs);
    } finally {
      policy.flushes -= 1;
    }
  }

  commit() {
    if (!this.#inside.messages.commit()) throw new Error("this link was made without commit: true");
    this.#ring();
  }

  forget() {
    this.#policy.forget();
  }

  get name() {
    return this.#role.name;
  }
  get connected() {
    return this.#policy.connection === lc.CONNECTED;
  }
  /** Bytes that the board has not acknowledged. */
  get pending() {
    return this.#engine.pending();
  }
  get stats() {
    return this.#policy.stats();
  }

  async #until(done, bell, timeoutMs) {
    const end = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
    while (!done()) {
      const left = end - performance.now();
      if (left <= 0) throw new TimeoutError(`nothing within ${timeoutMs} ms`);
      await bell.wait(left === Infinity ? undefined : left);
    }
  }

  // -- the connection

  #ring() {
    this.#woken = true;
    this.#wake.ring();
  }

  /** Until it is woken, at most ms. */
  async #pause(ms) {
    if (!this.#woken) await this.#wake.wait(ms);
    this.#woken = false;
  }

  async #run() {
    const policy = this.#policy;
    let why = null;
    try {
      for (;;) {
        await this.#hangUp(why);
        if (policy.over()) break;
        await sleep(policy.pause(now()));
        if (policy.over()) break;
        policy.seek(now());
        why = (await this.#establish()) ? await this.#pump() : LOST;
      }
      policy.shut(PEER_CLOSED);
    } catch (error) {
      console.error(error); // on_event has raised it, or it is a fault of picolink's
      policy.fail(`the link has failed: ${error.message}`);
      await this.#role.hangUp();
    }
  }

  /** Whether there is a connection. What goes wrong is told by the role, and tried again. */
  async #establish() {
    const policy = this.#policy;
    const given = { up: "" };
    let trouble = null;
    const attempt = this.#role.establish(given).catch((error) => (trouble = error));
    let over = false;
    attempt.finally(() => (over = true));
    while (!over && !given.up) {
      await Promise.race([attempt, this.#given.wait(TICK_MS * 10)]);
      if (policy.life >= lc.CLOSED) given.up = "closed";
      else if (policy.connection === lc.SETTING_UP && !this.#role.alive) given.up = "dropped";
      else if (policy.overdue(now())) given.up = "late";
    }
    if (trouble) policy.tellAgain(now(), "not connected", trouble.message);
    return over && !trouble && this.#role.alive;
  }

  /** Let the policy have its turns while the connection lasts. Returns why it is over. */
  async #pump() {
    const policy = this.#policy;
    const role = this.#role;
    const turns = policy.turns(now());
    turns.next();
    let before = now();
    while (role.alive && policy.life < lc.CLOSED) {
      const at = now();
      const away = ticksDiff(at, before) - LOOK_MS;
      if (away > LOOK_MS) policy.wasAway(at, away); // the page was frozen
      before = at;
      const wait = turns.next(at).value;
      if (wait === HANG_UP) return role.alive ? policy.why : LOST;
      await this.#pause(wait);
    }
    return LOST;
  }

  async #hangUp(why) {
    const policy = this.#policy;
    policy.hangUp(now(), why);
    const answered = await Promise.race([this.#role.hangUp(), sleep(HANG_UP_MS).then(() => false)]);
    if (policy.gone(answered)) this.#role.restart?.();
  }
}
