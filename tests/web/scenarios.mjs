// Plays files of tests/scenarios on web/src/policy.js, as tests/scenario_suite.py does:  node scenarios.mjs FILE...
import { isDeepStrictEqual } from "node:util";
import { LinkClosedError, Policy, newEngine } from "../../build/out/web/picolink.js";
import { openChannel } from "../../build/out/web/picolink-newest.js";
import { playAll } from "./steps.mjs";

const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");

// The names of the policy in Python.
const NAMES = { hang_up: "hangUp", was_away: "wasAway", has_read: "hasRead", not_found: "notFound", tell_undelivered: "tellUndelivered" };

class Side {
  rung = new Set();
  told = [];
  packets = [];
  constructor(engine, { ring = 1024, commit = false, key }) {
    this.engine = engine;
    const bell = (name) => () => this.rung.add(name);
    const bells = Object.fromEntries(["wake", "opened", "readable", "room"].map((name) => [name, bell(name)]));
    const policy = (this.policy = new Policy(engine, "test", ring, (...told) => this.told.push(told), bells));
    policy.commits = commit;
    policy.keyed = key ? 1 : 0;
    policy.transmit = (packet) => {
      if (this.room < 0) throw new Error("the radio has failed");
      if (this.packets.length >= this.room) return false;
      this.packets.push(hex(packet));
      return true;
    };
  }

  do(call, args) {
    const { policy } = this;
    const before = [policy.life, policy.connection];
    Object.assign(this, { told: [], packets: [] });
    this.rung.clear();
    const outcome = {};
    try {
      const result = call in this ? this[call](...args) : policy[NAMES[call] ?? call](...args);
      if (result !== undefined && result !== null) outcome.result = result;
    } catch (error) {
      if (!(error instanceof LinkClosedError)) throw error;
      outcome.closed = error.message;
    }
    if (this.packets.length) outcome.packets = this.packets;
    if (this.told.length) outcome.told = this.told;
    if (this.rung.size) outcome.bells = [...this.rung].sort();
    const after = [policy.life, policy.connection];
    if (!isDeepStrictEqual(before, after)) outcome.states = after;
    return outcome;
  }

  begin(now) {
    this.turns = this.policy.turns(now);
    this.turns.next();
  }
  turn(now, room) {
    this.room = room;
    return this.turns.next(now).value;
  }
  feed(packet, now) {
    this.policy.feed(unhex(packet), now);
  }
  send(message, channel) {
    return this.policy.sendNowait(unhex(message), channel);
  }
  set_value(value, channel) {
    this.inside ??= { policy: this.policy, messages: this.engine };
    openChannel(this.inside, channel).send(unhex(value));
  }
  queue_up(size) {
    this.place = { size };
    this.policy.line.push(this.place);
  }
  send_first(message, channel) {
    const sent = this.policy.sendFirst(unhex(message), channel);
    if (sent) this.policy.line.splice(this.policy.line.indexOf(this.place), 1);
    return sent;
  }
  recv() {
    const message = this.engine.recv();
    return message && [message[0], hex(message[1])];
  }
  commit() {
    this.engine.commit();
  }
  stats(...names) {
    const stats = this.policy.stats();
    return names.map((name) => stats[name]);
  }
}

await playAll(async (scenario) => {
  const sides = {};
  for (const [name, options] of Object.entries(scenario.sides)) {
    const { session, identity, ring = 1024, commit = false, key, seed } = options;
    const more = key ? { key: unhex(key), seed: unhex(seed) } : {};
    const rings = { txSize: ring, rxSize: ring, commit, ...more };
    sides[name] = new Side(await newEngine(parseInt(session, 16), unhex(identity), rings), options);
  }
  return (name, call, args) => sides[name].do(call, args);
});
