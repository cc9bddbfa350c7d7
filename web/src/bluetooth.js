// Web Bluetooth: the browser looks for the board and asks the person, the page connects and writes.
import { HANG_UP_MS } from "./policy.js";
import { now } from "./runtime.js";
import { MTU, NOTIFY, SERVICE, WRITE, checkedName } from "./wire.js";

const QUEUE = 8; // packets that wait until the browser takes them
const SETUP_MS = 15000; // with finding out what the board offers

/** The radio of a browser.   Raises no error before connect(). */
export const bluetooth = {
  /** A role that connects to a board.   name: undefined: any board of picolink's, which the person chooses. */
  connect(name, { identity, device } = {}) {
    return new Central(name, identity, device);
  },
};

class Central {
  alive = false;
  #policy;
  #device;
  #server = null;
  #queue = [];
  #writing = false;
  #write = null;

  constructor(name, identity, device = null) {
    this.name = name === undefined ? (device?.name ?? "") : checkedName(name);
    this.identity = identity;
    this.#device = device;
  }

  /** What the browser knows of the board, for another connect() without asking the person. */
  get device() {
    return this.#device;
  }

  serve(policy) {
    this.#policy = policy;
    policy.transmit = (packet) => this.#transmit(packet);
  }

  /** Asks the person for the board: a browser lets a page do this soon after a click only. */
  async claim() {
    if (!navigator.bluetooth) throw new Error("this browser has no Web Bluetooth");
    if (!this.#device) {
      if ((await navigator.bluetooth.getAvailability?.()) === false) {
        throw new Error("this device has no Bluetooth, or it is switched off");
      }
      const filter = { services: [SERVICE], ...(this.name && { name: this.name }) };
      this.#device = await navigator.bluetooth.requestDevice({ filters: [filter] });
      this.name ||= this.#device.name ?? "";
    }
    this.#device.addEventListener("gattserverdisconnected", this.#onDisconnected);
  }

  release() {
    this.#device?.removeEventListener("gattserverdisconnected", this.#onDisconnected);
    return true;
  }

  #onDisconnected = () => {
    this.alive = false;
    this.#policy.bells.wake();
  };

  /** given: its `up` says that the attempt is given up. */
  async establish(given) {
    const policy = this.#policy;
    policy.limit(now(), SETUP_MS);
    let server;
    try {
      server = await this.#device.gatt.connect();
    } catch {
      policy.notFound(now(), this.name);
      await new Promise((resolve) => setTimeout(resolve, 300)); // some browsers fail at once
      return;
    }
    if (given.up) return server.disconnect();
    this.#server = server;
    policy.adopt(now(), this.#device.id, this.name || this.#device.id);
    this.alive = true;
    const service = await server.getPrimaryService(SERVICE);
    const write = await service.getCharacteristic(WRITE);
    const notify = await service.getCharacteristic(NOTIFY);
    notify.addEventListener("characteristicvaluechanged", ({ target: { value } }) => {
      const packet = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      if (this.#server === server && this.alive) policy.feed(packet, now());
    });
    await notify.startNotifications();
    if (given.up) return;
    this.#queue = [];
    this.#write = write;
    policy.limit(now(), HANG_UP_MS);
    policy.call(MTU); // a page never learns it: the board says what it can
  }

  #transmit(packet) {
    if (this.#queue.length >= QUEUE) return false;
    this.#queue.push(packet);
    if (!this.#writing) this.#writeAll(this.#write);
    return true;
  }

  async #writeAll(write) {
    this.#writing = true;
    const queue = this.#queue;
    try {
      while (queue.length && queue === this.#queue) {
        await write.writeValueWithoutResponse(queue[0]);
        queue.shift();
      }
    } catch {
      if (queue === this.#queue) this.#onDisconnected(); // the connection has dropped
    } finally {
      this.#writing = false;
    }
  }

  async hangUp() {
    this.alive = false;
    this.#queue = [];
    this.#server = null;
    this.#device?.gatt.disconnect(); // also an attempt that is under way
    return true;
  }
}
