// What a link decides: py/picolink/policy.py in JavaScript, method by method. No task, no radio and no clock:
// bytes, events and times (ms modulo 2^30) come in, packets and decisions go out.
// tests/scenarios has what both must decide.
import * as fl from "./engine.js";
import * as lc from "./lifecycle.js";

export const LOOK_MS = 250; // the longest from one turn to the next
export const HANG_UP_MS = 3000; // a radio without an answer is stuck
export const HANG_UP = -1; // what a turn says instead of a time
export const PEER_CLOSED = "the peer has closed the link";

const FULL_MS = 2, FULL_MAX_MS = 4, PASSING_MS = 32, HANDSHAKE_MS = 4500, UNPROVEN_MS = 2000, ALIVE_MS = 1000, WAITING_MS = 2000;
const SILENCE_MS = 4500, STALL_MS = 4000, STALLS = 3, COMMIT_MS = 30, TOLD_MS = 150, LINGER_MS = 400;
const GOODBYE_MS = 1000, AGAIN_MS = 10000, SHUN_MS = 5000, UNPROVEN_SHUN_MS = 500, SHUNNED = 4, AWAY_MS = 3000;
const PAUSE_FIRST_MS = 20, PAUSE_MAX_MS = 500, VALUE_MS = 20;
const HEADER = 4, MTU_LEAST = 23, MTU_MOST = 517, TICKS = 0x3fffffff;

const OTHER = "the other board";
const STRANGER = `${OTHER}, or a stranger in its place,`;
const REASONS = {
  [fl.CLOSING]: `${OTHER} closes its link`,
  [fl.PROGRAM_FAILED]: `${OTHER}'s program has failed, or was interrupted`,
  [fl.PARTNER_KNOWN]: `${OTHER} has another partner, and has turned this one away`,
  [fl.OTHER_VERSION]: `${OTHER} speaks another version of the protocol`,
  [fl.KEY_WANTED]: `${OTHER} talks with a key only, and this link has none: give both the same key`,
  [fl.KEY_WRONG]: `${STRANGER} says that it has another key: give both the same one`,
  [fl.NONSENSE]: "this board's stream makes no sense to the other one",
};
const REFUSALS = {
  [fl.PARTNER_KNOWN]: "this is not the board that the link has met, and it was turned away",
  [fl.KEY_WANTED]: `${STRANGER} has no key, and was turned away: give both the same key`,
  [fl.KEY_WRONG]: `${STRANGER} has another key, and was turned away: give both the same one`,
};
const SHUN_FOR = [fl.PARTNER_KNOWN, fl.KEY_WANTED, fl.KEY_WRONG];
const KEYS = [fl.KEY_WANTED, fl.KEY_WRONG, fl.PACKETS_SMALL];
const NO_GREETING = "no greeting";
const ROUTINE = fl.READABLE | fl.WRITABLE | fl.PULL; // what packets bring all the time

export const ticksAdd = (ticks, ms) => (ticks + ms) & TICKS;
export const ticksDiff = (end, start) => ((end - start + 0x20000000) & TICKS) - 0x20000000;

/** The link is closed: by this side, or by the peer. */
export class LinkClosedError extends Error {
  name = "LinkClosedError";
}

export class Policy {
  life = lc.NEW;
  connection = lc.APART;
  transmit = null; // (packet) => whether the radio takes it now; throws when the connection is no good
  line = []; // who waits in send(): bytes of the message
  heardAt = 0;
  peer = null;
  met = null;
  commits = false;
  closed = null;
  why = null;
  stackRestarts = 0;
  keyed = 0;
  noise = (size) => new Uint8Array(size); // random bytes, with a key
  fullMs = FULL_MS;
  values = null; // Values of picolink-newest.js
  valuesWait = false; // has the engine not got all of them?
  reserve = 0; // bytes of the ring that ordinary messages leave to them
  flushes = 0; // who is to be told, by `room`, of each message that is acknowledged
  #packet = null; // that waits for the radio
  #sentAt = 0;
  #atWork = false;
  #idle = false;
  #dueAt = 0;
  #flags = 0; // the engine's, left to the next turn by feed()
  #passed = 0;
  #full = false;
  #mtu = MTU_LEAST;
  #address = null;
  #label = null;
  #limitAt = 0;
  #soughtAt = 0;
  #goodbyeAt = null;
  #progressAt = 0;
  #pauseMs = PAUSE_FIRST_MS;
  #timeouts = 0;
  #stalled = 0;
  #quietAt = 0;
  #acknowledged = 0;
  #goneAt = 0;
  #connections = 0;
  #silences = 0;
  #shunned = [];
  #saidWhy = false;
  #told = new Map();
  #awayMs = 0;
  #awayAt = 0;

  /** bells: functions wake, opened, readable, room: see Policy in Python. */
  constructor(engine, kind, txSize, onEvent, bells) {
    Object.assign(this, { engine, bells, kind, txSize, onEvent });
  }

  #link(event) {
    this.life = lc.after(this.life, event);
  }
  #connect(event) {
    this.connection = lc.after(this.connection, event);
  }

  // -- messages

  sendNowait(bytes, channel, kind) {
    this.checkOpen();
    if (this.line.length && !this.#mayOvertake(bytes.length)) return false;
    return this.#send(bytes, channel, kind);
  }

  /** For the first in line. */
  sendFirst(bytes, channel, kind) {
    this.checkOpen();
    return this.#send(bytes, channel, kind);
  }

  #send(bytes, channel, kind) {
    if (this.values?.wouldCrowd(bytes.length)) return false;
    const taken = this.engine.send(bytes, channel, kind);
    this.wakeIdle();
    return taken;
  }

  /** There is something to say. */
  wakeIdle() {
    if (!this.#idle) return;
    this.#idle = false;
    this.bells.wake();
  }
  /** As if the engine had said so: for the next turn. */
  note(flags) {
    this.#flags |= flags;
  }

  /** Else a large message would wait for ever while small ones come. */
  #mayOvertake(size) {
    return this.#lacks(size + HEADER) <= 0;
  }

  /** Bytes that are missing until the first in line is woken, and has room behind `more` bytes. */
  #lacks(more = 0) {
    // At most the whole ring: a message that fills it needs less than HEADER bytes besides.
    const wanted = Math.min(Math.max(this.line[0].size + HEADER, this.txSize >> 2) + this.reserve, this.txSize);
    return wanted + more + this.engine.pending() - this.txSize;
  }
  #isRoomWanted() {
    return this.flushes > 0 || (this.line.length > 0 && this.#lacks() <= 0);
  }

  checkOpen() {
    const { life } = this;
    if (life === lc.NEW) throw new Error("this link was not opened: await picolink.connect(name), or link.open()");
    if (life === lc.PEER_ENDED || life === lc.BOTH_ENDED || this.engine.ended) {
      throw new LinkClosedError(this.closed ?? PEER_CLOSED);
    }
    if (life !== lc.OPEN && life !== lc.OPENING) {
      throw new LinkClosedError(this.closed ?? "this side has closed the link");
    }
  }

  // -- opening and closing

  open() {
    this.#link(lc.OPENED);
  }
  close(now) {
    this.#go(lc.CLOSE, now);
  }
  leave(now) {
    this.#go(lc.LEAVE, now);
  }
  #go(event, now) {
    this.#link(event);
    this.#acknowledged = this.engine.acknowledged();
    this.#quietAt = this.#goneAt = now;
  }

  /** Whether there is something to wait for before shut(). */
  closing(now, timeoutMs) {
    const { engine } = this;
    if (this.life === lc.ENDING && !this.valuesWait && engine.end()) {
      this.#link(lc.END_QUEUED);
      this.bells.wake();
    }
    const { life } = this;
    if (life === lc.CLOSED || life === lc.FAILED) return false;
    if (life === lc.LEAVING) {
      if ((engine.pending() || this.valuesWait) && this.#takes(now, timeoutMs)) return true;
      if (!this.#saidWhy) {
        if (this.#isCommitDue(now)) return true;
        this.#saidWhy = true;
        engine.bye(fl.PROGRAM_FAILED);
        this.bells.wake();
      }
      return this.connection >= lc.GREETING;
    }
    if (!engine.pending()) {
      if (life === lc.ENDED) return this.#isCommitDue(now);
      if (life === lc.BOTH_ENDED && ticksDiff(now, this.heardAt) > LINGER_MS) return false;
    }
    return this.#takes(now, timeoutMs);
  }

  #isCommitDue(now) {
    if (!this.commits || this.connection !== lc.CONNECTED || ticksDiff(now, this.#goneAt) > TOLD_MS) return false;
    const wait = this.engine.wait(now);
    return wait >= 0 && wait <= COMMIT_MS;
  }

  #takes(now, timeoutMs) {
    const acknowledged = this.engine.acknowledged();
    if (acknowledged !== this.#acknowledged) {
      this.#acknowledged = acknowledged;
      this.#quietAt = now;
    }
    return ticksDiff(now, this.#quietAt) < timeoutMs;
  }

  shut(reason, event = lc.SHUT) {
    this.closed ??= reason;
    this.#link(event);
    for (const bell of Object.values(this.bells)) bell();
  }
  fail(reason = "the link has failed") {
    this.shut(reason, lc.FAIL);
  }
  over() {
    return this.life >= lc.PEER_ENDED;
  }

  tellUndelivered() {
    const stats = this.engine.stats();
    const sent = (stats.messages_sent - stats.messages_acknowledged - stats.too_large) >>> 0;
    const lost = sent + (this.values?.waiting() ?? 0);
    if (lost) this.tell("undelivered", `${lost} messages were not acknowledged before the link was closed`);
  }

  // -- how a connection comes and goes

  pause(now) {
    if (ticksDiff(now, this.#soughtAt) > PAUSE_MAX_MS) this.#pauseMs = PAUSE_FIRST_MS;
    const ms = this.#pauseMs;
    this.#pauseMs = Math.min(2 * ms, PAUSE_MAX_MS);
    return ms;
  }
  seek(now) {
    this.#connect(lc.SEEK);
    this.#soughtAt = now;
    this.limit(now, HANG_UP_MS);
  }
  limit(now, ms) {
    this.#limitAt = ticksAdd(now, ms);
  }
  overdue(now) {
    return (
      this.connection >= lc.SEEKING && this.connection <= lc.SETTING_UP && ticksDiff(now, this.#limitAt) >= 0
    );
  }

  shuns(now, address) {
    return this.#shunned.some(([other, until]) => {
      const left = ticksDiff(until, now);
      return other === address && left > 0 && left <= SHUN_MS;
    });
  }
  #shun(now, ms) {
    if (this.#shunned.length >= SHUNNED) this.#shunned.shift();
    this.#shunned.push([this.#address, ticksAdd(now, ms)]);
  }

  forget() {
    this.engine.setPartner(null);
    this.peer = null;
  }
  adopt(now, address, label) {
    this.#connect(lc.ADOPT);
    this.#address = address;
    this.#label = label;
    this.#progressAt = now;
  }
  call(mtu) {
    this.#mtu = Math.max(MTU_LEAST, Math.min(mtu, MTU_MOST));
    this.#connect(lc.CALLED);
  }

  hangUp(now, why) {
    const before = this.connection;
    this.#connect(lc.HANG_UP);
    if (this.#awayMs) {
      if (ticksDiff(now, this.#awayAt) < LOOK_MS) {
        why = `this board's program did not let the link run for ${Math.floor(this.#awayMs / 1000)} s`;
      }
      this.#awayMs = 0;
    }
    if (before >= lc.SEEKING && before <= lc.GREETING) this.peer = null;
    if (before < lc.SETTING_UP || this.life === lc.FAILED) return;
    const flags = this.#takeFlags();
    this.#report(flags);
    const connected = before === lc.CONNECTED || (flags & fl.OPENED) !== 0;
    if (this.keyed) {
      this.keyed = connected ? 1 : this.keyed + 1;
      if (!connected && (why === NO_GREETING || this.engine.state === fl.CLOSED)) {
        this.#shun(now, UNPROVEN_SHUN_MS + 4 * this.noise(1)[0]);
      }
    }
    if (connected) {
      this.#pauseMs = PAUSE_FIRST_MS;
      const closing = this.life !== lc.OPEN && this.life !== lc.OPENING;
      this.tell("disconnected", closing ? "closing" : `${why}, looking for it again`);
    } else if (why === NO_GREETING) {
      this.tellAgain(now, "not connected", "a device connected and did not speak picolink: hung up", this.#label);
    }
    this.#countStall(now, connected);
  }

  gone(answered) {
    this.#connect(lc.GONE);
    if (answered && this.#stalled < STALLS) return false;
    this.#stalled = 0;
    this.stackRestarts += 1;
    return true;
  }

  #countStall(now, connected) {
    const { timeouts } = this.engine.stats();
    const before = this.#timeouts;
    this.#timeouts = timeouts;
    const quiet = ticksDiff(now, this.#progressAt) > STALL_MS;
    const unheard = this.#full || timeouts - before > 1 || !connected;
    this.#stalled = quiet && unheard && this.engine.pending() ? this.#stalled + 1 : 0;
  }

  // -- packets

  feed(packet, now) {
    this.heardAt = now;
    if (!packet.length || this.connection < lc.GREETING || !this.engine.feed(packet, now)) return;
    if (this.#atWork || !this.#takeOver(now)) this.bells.wake();
  }

  /** Do what most packets ask for without a turn. Returns whether that is all. */
  #takeOver(now) {
    const flags = this.#flags | this.engine.takeFlags();
    if (!flags || flags > ROUTINE) {
      this.#flags = flags;
      return false;
    }
    if (flags & fl.READABLE) this.bells.readable();
    const writable = flags & fl.WRITABLE;
    let heldBack = null;
    if (writable) {
      this.#progressAt = now;
      // The window may have held it back. It goes now: a program that reads may keep turns away.
      if (!this.#packet && !this.valuesWait) heldBack = this.#packet = this.engine.pull(now);
    }
    if (this.#packet) this.#passOn(now);
    else this.#look(now);
    if (writable && this.#isRoomWanted()) {
      this.#flags = writable;
      return false;
    }
    return !heldBack;
  }

  /** Hand over the packet that waits, and get the next: when one has come, most likely one has left. */
  #passOn(now) {
    try {
      if (!this.transmit(this.#packet)) return;
    } catch {
      return; // the next turn finds out
    }
    this.#passed += 1;
    this.#sentAt = now;
    if (this.valuesWait) this.values.handOver();
    this.#packet = this.engine.pull(now);
    this.#idle = !this.#packet;
  }

  /** The program has read what was there: the peer may have to hear that there is room. */
  hasRead(now) {
    if (this.#idle) this.#look(now);
  }
  #look(now) {
    const wait = this.engine.wait(now);
    if (this.valuesWait || (wait >= 0 && wait < ticksDiff(this.#dueAt, now))) this.bells.wake();
  }

  #takeFlags() {
    const flags = this.#flags | this.engine.takeFlags();
    this.#flags = 0;
    return flags;
  }

  /** What is due in a connection. After next(), next(now) has a turn: .value is ms until the next one, unless
   * it is woken before; or HANG_UP: `why` says why. */
  *turns(now) {
    this.#connect(lc.BEGIN);
    const { engine } = this;
    let wait = LOOK_MS;
    let greeting = false;
    this.#packet = null;
    this.#sentAt = now;
    const beganAt = now;
    for (;;) {
      this.#dueAt = ticksAdd(now, wait);
      this.#atWork = false;
      now = yield wait;
      this.#atWork = true; // from here on feed() leaves everything to this turn
      this.#idle = false;
      wait = LOOK_MS;
      if (this.connection === lc.READY) {
        this.#connect(lc.START);
        this.#goodbyeAt = null;
        engine.start(this.#mtu, now);
        greeting = true;
      }
      if (greeting) {
        let full = false;
        let taken = 0;
        if (this.valuesWait && !this.#packet) this.values.handOver();
        try {
          while ((this.#packet ??= engine.pull(now))) {
            if ((full = !this.transmit(this.#packet))) break;
            this.#packet = null;
            this.#sentAt = now;
            taken += 1;
            if (this.valuesWait) this.values.handOver();
          }
          const quietMs = ticksDiff(now, this.#sentAt);
          const due = !full && quietMs >= ALIVE_MS && (quietMs >= WAITING_MS || !engine.pending());
          if (due && this.connection === lc.CONNECTED) {
            if (this.transmit(new Uint8Array())) this.#sentAt = now;
            else full = true;
          }
        } catch (error) {
          this.why = error.message;
          yield HANG_UP;
        }
        this.#full = full;
        const flags = this.#takeFlags();
        if (flags & fl.WRITABLE || !engine.pending()) this.#progressAt = now;
        if (flags) this.#report(flags);
        if (full) {
          wait = this.#pauseFull(taken);
        } else {
          this.#idle = true;
          wait = engine.wait(now);
          if (wait < 0 || wait > LOOK_MS) wait = LOOK_MS;
          if (this.valuesWait) wait = Math.min(wait, VALUE_MS);
        }
      }
      if (this.#isUseless(now, beganAt)) wait = HANG_UP;
    }
  }

  /** ms until the radio is asked again, which has just taken so many packets, and is full. */
  #pauseFull(taken) {
    if (taken > 1) this.fullMs = FULL_MS;
    else if (this.#passed) this.fullMs = Math.min(2 * this.fullMs, PASSING_MS);
    else if (!taken) this.fullMs = Math.min(this.fullMs + FULL_MS, FULL_MAX_MS);
    this.#passed = 0;
    return this.fullMs;
  }

  #isUseless(now, beganAt) {
    if (this.connection === lc.CONNECTED) {
      if (ticksDiff(now, this.heardAt) > SILENCE_MS) {
        this.#silences += 1;
        this.why = `${OTHER} says nothing`;
        return true;
      }
    } else if (ticksDiff(now, beganAt) > (this.keyed > 1 && (this.keyed & 3) !== 1 ? UNPROVEN_MS : HANDSHAKE_MS)) {
      this.#silences += 1;
      this.why = NO_GREETING;
      return true;
    }
    if (this.engine.state === fl.CLOSED && this.connection >= lc.GREETING) {
      if (this.#goodbyeAt === null) {
        this.#goodbyeAt = now;
        const nonsense = this.engine.reason === fl.NONSENSE;
        this.why = nonsense ? `${OTHER}'s stream makes no sense` : "refused";
      }
      return ticksDiff(now, this.#goodbyeAt) >= GOODBYE_MS;
    }
    return false;
  }

  #report(flags) {
    if (flags & fl.READABLE) this.bells.readable();
    if (flags & fl.WRITABLE && this.#isRoomWanted()) this.bells.room();
    if (flags > ROUTINE) this.#reportRare(flags);
  }

  #reportRare(flags) {
    let again = false;
    const { engine } = this;
    if (flags & fl.OPENED) {
      this.peer = this.#address;
      again = this.connection === lc.CONNECTED;
      this.#connections += again ? 0 : 1;
      for (const [detail, told] of this.#told) if (!told) this.#told.delete(detail);
      this.#connect(lc.GREETED);
      this.#link(lc.MET);
      this.bells.opened();
      this.met?.();
    }
    if (flags & fl.PEER_RESTARTED) this.values?.setAgain(); // what had come is gone with its memory
    if (flags & (fl.BYE | fl.REFUSED) && SHUN_FOR.includes(engine.reason) && !this.keyed) {
      this.#shun(this.heardAt, SHUN_MS);
    }
    if (flags & fl.BYE) {
      this.#goodbyeAt = ticksAdd(this.heardAt, -GOODBYE_MS);
      this.why = REASONS[engine.reason] ?? `${OTHER} hangs up, with reason ${engine.reason}`;
    }
    if (flags & fl.PEER_ENDED) {
      this.#link(lc.END_CAME);
      this.bells.room();
      this.bells.readable();
    }
    if (flags & fl.OPENED && !again) {
      this.tell("connected", `${this.#label}, ${this.kind} engine, MTU ${this.#mtu}`);
    }
    if (flags & fl.PEER_RESTARTED) {
      this.tell("peer restarted", `${engine.stats().resent} messages sent again since the start`);
    }
    if (flags & fl.FORGOTTEN) {
      this.tell("restarted", `${OTHER} knew this one before: what was unread here is lost`);
    }
    if (flags & fl.TOO_LARGE) {
      this.tell("too large", `${this.stats().too_large} messages removed that ${OTHER} cannot hold`);
    }
    if (flags & fl.CONTRADICTED) {
      this.tell("renewed", `${OTHER} contradicted what was known: messages may be lost or come twice`);
    }
    if (flags & fl.BYE && this.connection !== lc.CONNECTED) this.#tellRefused(this.why);
    if (flags & fl.REFUSED) {
      let detail = REFUSALS[engine.reason];
      if (engine.reason === fl.OTHER_VERSION) {
        detail = `${OTHER} speaks protocol version ${engine.peerVersion}, not 2`;
      } else if (engine.reason === fl.PACKETS_SMALL) {
        detail = `a link with a key needs an ATT MTU of 50, and this connection has ${this.#mtu}`;
      }
      this.#tellRefused(detail);
    }
  }

  #tellRefused(detail) {
    if (!KEYS.includes(this.engine.reason)) {
      this.tellAgain(this.heardAt, "refused", detail, this.#label);
    } else if (!this.#told.has(detail)) {
      this.#told.set(detail, null); // it stays so until somebody does something
      this.tell("refused", `${detail} (${this.#label})`);
    }
  }

  tell(event, detail) {
    this.onEvent(event, detail);
  }

  /** For what may happen again and again: at once, then every 10 s at most, with the count. */
  tellAgain(now, event, detail, who = null) {
    if (this.#told.size > 4) this.#told.clear();
    const told = this.#told.get(detail) ?? { at: null, times: 0 };
    this.#told.set(detail, told);
    told.times += 1;
    const ms = told.at === null ? -1 : ticksDiff(now, told.at);
    if (ms >= 0 && ms < AGAIN_MS) return;
    told.at = now;
    const more = who ? [who] : [];
    if (told.times > 1) more.push(`${told.times} times so far`);
    this.tell(event, more.length ? `${detail} (${more.join(", ")})` : detail);
  }

  notFound(now, name, others = []) {
    let detail = `no board named '${name}' in sight, still looking`;
    if (others.length) detail += `; in sight: ${others.map((other) => `'${other}'`).join(", ")}`;
    for (const [, until] of this.#shunned) {
      if (ticksDiff(until, now) > 0) detail = `no other board named '${name}' in sight, still looking`;
    }
    this.tellAgain(now, "not found", detail);
  }
  nobody(now, name) {
    this.tellAgain(now, "not found", `no board has connected to '${name}', still advertising`);
  }
  wasAway(now, ms) {
    if (ms > AWAY_MS) {
      this.#awayMs = ms;
      this.#awayAt = now;
    }
  }

  stats() {
    const more = { connections: this.#connections, silences: this.#silences, stack_restarts: this.stackRestarts };
    const stats = this.engine.stats();
    return { ...stats, ...more, too_large: stats.too_large + (this.values?.tooLarge ?? 0) };
  }
}
