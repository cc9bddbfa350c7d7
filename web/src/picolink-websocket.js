// The radio of `picolink web`: its server has the Bluetooth, virtual or this PC's, and hands packets on.
// A connection to a board is a WebSocket. The server says in text what became of it, then packets pass.
import { HANG_UP_MS } from "./policy.js";
import { now } from "./runtime.js";
import { MTU, checkedName } from "./wire.js";

const SEEK_MS = 30000;
const QUEUED = 4096; // bytes that wait in the browser

/** A radio at this address, such as "ws://localhost:8000/radio". */
export class WebSocketRadio {
  constructor(url) {
    this.url = url;
  }
  connect(name, { identity } = {}) {
    return new Central(name === undefined ? "" : checkedName(name), identity, this.url);
  }
}

class Central {
  alive = false;
  #policy;
  #url;
  #socket = null;

  constructor(name, identity, url) {
    this.name = name;
    this.identity = identity;
    this.#url = url;
  }

  serve(policy) {
    this.#policy = policy;
    policy.transmit = (packet) => {
      if (this.#socket.bufferedAmount > QUEUED) return false;
      this.#socket.send(packet);
      return true;
    };
  }
  async claim() {}
  release() {
    return true;
  }

  async establish(given) {
    const policy = this.#policy;
    policy.limit(now(), SEEK_MS);
    const socket = new WebSocket(`${this.#url}?name=${encodeURIComponent(this.name)}`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    await new Promise((resolve, reject) => {
      socket.onclose = () => {
        if (socket !== this.#socket) return;
        const was = this.alive;
        this.alive = false;
        policy.bells.wake();
        if (!was) reject(new Error("picolink web does not answer, or has ended"));
      };
      socket.onmessage = ({ data }) => {
        if (socket !== this.#socket || given.up) return;
        if (typeof data !== "string") return policy.feed(new Uint8Array(data), now());
        const said = JSON.parse(data);
        if (said.others) return policy.notFound(now(), this.name, said.others);
        if (said.error) return reject(new Error(said.error));
        this.name ||= said.name;
        policy.adopt(now(), said.address, said.address);
        this.alive = true;
        policy.limit(now(), HANG_UP_MS);
        policy.call(MTU);
        resolve();
      };
    });
  }

  async hangUp() {
    this.alive = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    return true;
  }
}
