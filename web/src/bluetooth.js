// Web Bluetooth: the browser looks for the board and asks the person, the page connects and writes.
import { HANG_UP_MS } from "./policy.js";
import { now, sleep } from "./runtime.js";
import { MTU, NOTIFY, SERVICE, WRITE, checkedName } from "./wire.js";

const QUEUE = 8; // packets that wait until the browser takes them
const SETUP_MS = 15000; // with finding out what the board offers

/** The radio of a browser.   Raises no error before connect(). */
export const bluetooth = {
  /** A role that connects to a board.   name: undefined: any board of picolink's, which the person chooses.
   * device: what the browser knows of a board, to connect without asking the person. */
  connect(name, { identity, device } = {}) {
    let policy;
    let server = null;
    let queue = [];
    let writing = false;
    let writer = null;

    const onDisconnected = () => {
      role.alive = false;
      policy.bells.wake();
    };

    const transmit = (packet) => {
      if (queue.length >= QUEUE) return false;
      queue.push(packet);
      if (!writing) writeAll(writer, queue);
      return true;
    };

    async function writeAll(to, mine) {
      writing = true;
      try {
        while (mine.length && mine === queue) {
          await to.writeValueWithoutResponse(mine[0]);
          mine.shift();
        }
      } catch {
        if (mine === queue) onDisconnected(); // the connection has dropped
      } finally {
        if (mine === queue) writing = false;
      }
    }

    const role = {
      alive: false,
      name: name === undefined ? (device?.name ?? "") : checkedName(name),
      identity,
      get device() {
        return device;
      },

      serve(made) {
        policy = made;
        policy.transmit = transmit;
      },

      /** Asks the person for the board: a browser lets a page do this soon after a click only. */
      async claim() {
        const browser = navigator.bluetooth;
        if (!browser) throw new Error("this browser has no Web Bluetooth");
        if (!device) {
          if ((await browser.getAvailability?.()) === false) {
            throw new Error("this device has no Bluetooth, or it is switched off");
          }
          const filter = { services: [SERVICE], ...(role.name && { name: role.name }) };
          device = await browser.requestDevice({ filters: [filter] });
          role.name ||= device.name ?? "";
        }
        device.addEventListener("gattserverdisconnected", onDisconnected);
      },

      release() {
        device?.removeEventListener("gattserverdisconnected", onDisconnected);
        return true;
      },

      /** given: its `up` says that the attempt is given up. */
      async establish(given) {
        policy.limit(now(), SETUP_MS);
        let found;
        try {
          found = await device.gatt.connect();
        } catch {
          policy.notFound(now(), role.name);
          await sleep(300); // some browsers fail at once
          return;
        }
        if (given.up) return found.disconnect();
        server = found;
        policy.adopt(now(), device.id, role.name || device.id);
        role.alive = true;
        const service = await found.getPrimaryService(SERVICE);
        const write = await service.getCharacteristic(WRITE);
        const notify = await service.getCharacteristic(NOTIFY);
        notify.addEventListener("characteristicvaluechanged", ({ target: { value } }) => {
          const packet = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
          if (server === found && role.alive) policy.feed(packet, now());
        });
        await notify.startNotifications();
        if (given.up) return;
        queue = [];
        writing = false; // what hangs in a connection that has dropped does not hold this one up
        writer = write;
        policy.limit(now(), HANG_UP_MS);
        policy.call(MTU); // a page never learns it: the board says what it can
      },

      async hangUp() {
        role.alive = false;
        queue = [];
        server = null;
        device?.gatt.disconnect(); // also an attempt that is under way
        return true;
      },
    };
    return role;
  },
};
