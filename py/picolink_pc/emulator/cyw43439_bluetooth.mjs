// The Bluetooth part of the CYW43439: HCI packets go through two rings in the chip's memory, one each way.
//
// At the ring base, which the host asks for: 4 KiB from the host, 4 KiB for the host, and four words, each an offset
// into its ring: from the host, in and out; for the host, in and out. A packet is its length (3 bytes, without these
// four), its type as in H4, its data, and padding to a multiple of 4. Both sides write, move "in" and ring: the host
// flips a bit of a register, the chip raises an interrupt.

const CONTROL_OF_CHIP = 0x18000c7c;
const CHIP_IS_AWAKE = 1 << 8;
const FIRMWARE_IS_READY = 1 << 24;

const CONTROL_OF_HOST = 0x18000d6c;
const DOORBELL = 1 << 1;
const WAKE = 1 << 17;
const HOST_IS_READY = 1 << 24;

const RING_BASE = 0x18000d68; // the register that says where the rings are
const RINGS = 0x60000;
const RING_SIZE = 0x1000;
const FROM_HOST_IN = RINGS + 2 * RING_SIZE;
const FROM_HOST_OUT = FROM_HOST_IN + 4;
const FOR_HOST_IN = FROM_HOST_IN + 8;
const FOR_HOST_OUT = FROM_HOST_IN + 12;

const PACKET_INTERRUPT = 1 << 5; // in the word of SDIO interrupts

const HEADER = 4;
const roundUp = (length) => (length + 3) & ~3;
const TYPES = new Set([1, 2, 3, 4]); // of H4: command, ACL data, synchronous data, event
const LONGEST = 1024 + 5; // more than any packet here has

export class Bluetooth {
  #queue = []; // packets that have no room in the ring
  #hostControl = 0;

  /**
   * @param backplane Backplane: the chip's memory and interrupts
   * @param hci (packet) called with each packet of the host
   * @param problem (text) called for what the model does not know
   */
  constructor({ backplane, hci, problem }) {
    this.backplane = backplane;
    this.hci = hci;
    this.problem = problem;
    const device = (read, write) => ({ read, write });
    const readOnly = (name) => () => problem(`a write to the register ${name}`);
    backplane.devices.set(
      CONTROL_OF_CHIP,
      // Its firmware starts within the 150 ms that the driver gives it.
      device(() => (backplane.bluetoothBytes ? FIRMWARE_IS_READY | CHIP_IS_AWAKE : 0), readOnly('BT_CTRL')),
    );
    backplane.devices.set(
      CONTROL_OF_HOST,
      device(
        () => this.#hostControl,
        (value) => this.#control(value),
      ),
    );
    backplane.devices.set(RING_BASE, device(() => RINGS, readOnly('WLAN_RAM_BASE')));
    backplane.onRamWrite = (address) => {
      if (address === FOR_HOST_OUT) {
        this.#fill(); // the host has made room
      }
    };
  }

  /** A packet of the controller for its host. */
  send(packet) {
    this.#queue.push(packet);
    this.#fill();
  }

  /** Bytes of packets that the host has not fetched. */
  get backlog() {
    const inRing = (this.#word(FOR_HOST_IN) - this.#word(FOR_HOST_OUT)) & (RING_SIZE - 1);
    return this.#queue.reduce((sum, packet) => sum + packet.length, inRing);
  }

  #word(address) {
    return this.backplane.ramWords.getUint32(address, true);
  }

  #setWord(address, value) {
    this.backplane.ramWords.setUint32(address, value, true);
  }

  #control(value) {
    if (value & ~(DOORBELL | WAKE | HOST_IS_READY)) {
      this.problem(`0x${value.toString(16)} in the register HOST_CTRL`);
    }
    const rings = ((this.#hostControl ^ value) & DOORBELL) !== 0;
    this.#hostControl = value;
    if (rings && value & HOST_IS_READY) {
      this.#take();
    }
  }

  /** Takes what the host has put into its ring. */
  #take() {
    const end = this.#word(FROM_HOST_IN);
    let at = this.#word(FROM_HOST_OUT);
    if (end >= RING_SIZE || at >= RING_SIZE || (end | at) & 3) {
      this.problem(`offsets ${at} and ${end} in the ring from the host`);
      return;
    }
    const byte = (i) => this.backplane.ram[RINGS + ((at + i) & (RING_SIZE - 1))];
    while (at !== end) {
      const length = byte(0) | (byte(1) << 8) | (byte(2) << 16);
      const type = byte(3);
      const there = (end - at) & (RING_SIZE - 1);
      if (!TYPES.has(type) || length > LONGEST || HEADER + roundUp(length) > there) {
        this.problem(`${there} bytes in the ring from the host that begin with a packet of ${length}, type ${type}`);
        at = end;
        break;
      }
      const packet = Uint8Array.from({ length: 1 + length }, (_, i) => byte(3 + i));
      at = (at + HEADER + roundUp(length)) & (RING_SIZE - 1);
      this.hci(packet);
    }
    this.#setWord(FROM_HOST_OUT, at);
  }

  /** Moves packets into the ring for the host while there is room. */
  #fill() {
    let moved = false;
    while (this.#queue.length) {
      const [packet] = this.#queue;
      const size = 3 + packet.length; // the type is part of both
      let at = this.#word(FOR_HOST_IN);
      const room = (this.#word(FOR_HOST_OUT) - at - 4) & (RING_SIZE - 1); // full is not to look like empty
      if (roundUp(size) > room) {
        break;
      }
      this.#queue.shift();
      const length = packet.length - 1;
      for (const value of [length & 0xff, (length >> 8) & 0xff, 0, ...packet]) {
        this.backplane.ram[RINGS + RING_SIZE + at] = value;
        at = (at + 1) & (RING_SIZE - 1);
      }
      this.#setWord(FOR_HOST_IN, roundUp(at) & (RING_SIZE - 1));
      moved = true;
    }
    if (moved) {
      this.backplane.raise(PACKET_INTERRUPT);
    }
  }
}
