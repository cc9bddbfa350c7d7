// A radio in memory: the links of one program hear each other. For tests: py/picolink/radio/memory.py.
import { READY } from "./lifecycle.js";
import { now, sleep } from "./runtime.js";
import { MTU, checkedName } from "./wire.js";

const LOOK_MS = 10;
const SEEK_MS = 5000;

export class Air {
  inRange = true;
  roles = []; // of links that are open

  constructor({ delayMs = 5, loss = 0, queue = 8, mtu = MTU } = {}) {
    Object.assign(this, { delayMs, loss, queue, mtu });
  }
  advertise(name, { identity } = {}) {
    return new Advertises(name, identity, this);
  }
  connect(name, { identity } = {}) {
    return new Connects(name, identity, this);
  }
  /** All connections are lost, and both sides know it at once. */
  drop() {
    for (const role of this.roles) role.drop();
  }
}

class Role {
  alive = false;
  advertising = false;
  other = null;

  constructor(name, identity, air) {
    this.name = checkedName(name);
    this.identity = identity;
    this.air = air;
  }
  serve(policy) {
    this.policy = policy;
    policy.transmit = (packet) => this.#transmit(packet);
  }
  async claim() {
    this.air.roles.push(this);
  }
  release() {
    this.air.roles = this.air.roles.filter((role) => role !== this);
    return true;
  }
  join(other) {
    this.other = other;
    this.onWay = 0;
    const address = String(other.identity);
    this.policy.adopt(now(), address, address);
    this.alive = true;
  }
  drop() {
    this.alive = false;
    this.other = null;
    this.policy.bells.wake();
  }
  async hangUp() {
    this.other?.drop();
    this.drop();
    return true;
  }
  #transmit(packet) {
    const { air, other } = this;
    if (!other) throw new Error("there is no connection");
    if (this.onWay >= air.queue) return false;
    this.onWay += 1;
    setTimeout(() => {
      if (this.other !== other) return;
      this.onWay -= 1;
      if (air.inRange && Math.random() >= air.loss) other.arrive(packet);
    }, air.delayMs);
    return true;
  }
  arrive(packet) {
    if (this.policy.connection >= READY) return this.policy.feed(packet, now());
    this.policy.call(this.air.mtu); // the first one only says that the other side takes packets
    return this.policy.bells.wake();
  }
}

class Advertises extends Role {
  async establish(given) {
    this.policy.limit(now(), SEEK_MS);
    this.advertising = true;
    while (!this.alive && !given.up) await sleep(LOOK_MS);
    this.advertising = false;
    if (given.up === "late") this.policy.nobody(now(), this.name);
  }
}

class Connects extends Role {
  async establish(given) {
    this.policy.limit(now(), SEEK_MS + 1000);
    for (const end = performance.now() + SEEK_MS; performance.now() < end && !given.up; await sleep(LOOK_MS)) {
      const found = this.air.inRange && this.air.roles.find((role) => role.advertising && role.name === this.name);
      if (!found) continue;
      found.advertising = false;
      found.join(this);
      this.join(found);
      this.policy.call(this.air.mtu);
      return;
    }
    this.policy.notFound(now(), this.name);
  }
}
