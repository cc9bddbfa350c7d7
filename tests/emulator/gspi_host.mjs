// A host on the radio chip's bus, for tests: written from the chip's data sheet and what the open driver does.

import { Cyw43439 } from '../../py/picolink_pc/emulator/cyw43439.mjs';

export const BUS = 0;
export const BACKPLANE = 1;
export const WLAN = 2;

const swapHalves = (word) => ((word << 16) | (word >>> 16)) >>> 0;
const swapBytes = (word) => Buffer.from(Uint32Array.of(word).buffer).readUInt32BE();

/** Words on the wire while the chip still takes 16-bit words, and after the switch to 32-bit ones, big-endian. */
const AT_FIRST = swapHalves;
const SWITCHED = swapBytes;
const CONTROL = 0x000204b3; // 32 bits, big-endian, high speed, interrupt active high, awake, response delay 4
const PAUSE = 16; // bytes before an answer from the backplane

export class Host {
  constructor() {
    this.nanos = 0;
    this.told = { power: [], interrupt: [], hci: [], led: [], problem: [] };
    const tell = Object.fromEntries(
      Object.keys(this.told).map((name) => [name, (value) => this.told[name].push(value)]),
    );
    this.chip = new Cyw43439({ mac: [0x28, 0xcd, 0xc1, 1, 2, 3], nanos: () => this.nanos, tell });
    this.order = AT_FIRST;
    this.pause = 0;
  }

  get problems() {
    return this.told.problem;
  }

  get interrupt() {
    return this.told.interrupt.at(-1) ?? false;
  }

  command(write, number, address, length) {
    return ((write << 31) | (1 << 30) | (number << 28) | (address << 11) | length) >>> 0;
  }

  /** One transaction: words to write, then how many to read. */
  transfer(words, count) {
    this.chip.begin();
    words.forEach((word) => this.chip.write(word));
    const answer = Array.from({ length: count }, () => this.chip.read());
    this.chip.end();
    return answer;
  }

  readBytes(number, address, length) {
    const pause = number === BACKPLANE ? this.pause : 0;
    const words = this.transfer(
      [this.order(this.command(0, number, address, length))],
      Math.ceil(length / 4) + pause / 4,
    );
    return Buffer.from(Uint32Array.from(words.slice(pause / 4), this.order).buffer).subarray(0, length);
  }

  read(number, address, length = 4) {
    return this.readBytes(number, address, length).readUIntLE(0, length);
  }

  writeBytes(number, address, bytes) {
    const padded = Buffer.concat([Buffer.from(bytes), Buffer.alloc(-bytes.length & 3)]);
    const words = Array.from({ length: padded.length / 4 }, (_, i) => this.order(padded.readUInt32LE(4 * i)));
    this.transfer([this.order(this.command(1, number, address, bytes.length)), ...words], 0);
  }

  write(number, address, value, length = 4) {
    const bytes = Buffer.alloc(length);
    bytes.writeUIntLE(value, 0, length);
    this.writeBytes(number, address, bytes);
  }

  /** The chip has power, and the bus the words that the driver sets. */
  start() {
    this.chip.setPower(true);
    this.write(BUS, 0, CONTROL);
    this.order = SWITCHED;
    this.write(BUS, 0x1d, PAUSE, 1);
    this.pause = PAUSE;
    return this;
  }

  /** Moves the window there: the address in it. */
  window(address) {
    for (const [register, shift] of [
      [0x1000a, 8],
      [0x1000b, 16],
      [0x1000c, 24],
    ]) {
      this.write(BACKPLANE, register, (address >>> shift) & 0xff, 1);
    }
    return 0x8000 | (address & 0x7fff);
  }

  get(address, length = 4) {
    return this.read(BACKPLANE, this.window(address), length);
  }

  set(address, value, length = 4) {
    this.write(BACKPLANE, this.window(address), value, length);
  }

  /** Lets the chip's WLAN processor run, as after the download of its firmware. */
  startWlan() {
    this.set(0x18103408, 3, 1); // clock on, and forced
    this.set(0x18103800, 0, 1); // out of reset
    this.set(0x18103408, 1, 1); // no longer forced
  }

  /** Sends a WLAN control packet. */
  control(command, value, { sequence = 7, flags = 0x00050002 } = {}) {
    const packet = Buffer.alloc(28 + value.length);
    packet.writeUInt16LE(packet.length, 0);
    packet.writeUInt16LE(~packet.length & 0xffff, 2);
    packet[4] = sequence;
    packet[7] = 12;
    packet.writeUInt32LE(command, 12);
    packet.writeUInt32LE(value.length, 16);
    packet.writeUInt32LE(flags, 20);
    packet.set(value, 28);
    this.writeBytes(WLAN, 0, packet);
  }

  /** The next WLAN packet, by the length that the status register announces. */
  packet() {
    const status = this.read(BUS, 0x08);
    return status & 0x100 ? this.readBytes(WLAN, 0, (status >>> 9) & 0x7ff) : undefined;
  }
}

export const RINGS = 0x60000;
const INDICES = RINGS + 0x2000;

/** A host whose Bluetooth part is up. */
export class BluetoothHost extends Host {
  start() {
    super.start();
    this.startWlan();
    this.set(0x190d0000, 0x12345678); // "firmware"
    this.control_ = 1 << 24; // ready
    for (let i = 0; i < 4; i++) {
      this.set(INDICES + 4 * i, 0);
    }
    this.set(0x18000d6c, this.control_);
    this.set(0x18002024, 0x20); // interrupt of the rings
    this.write(BUS, 0x06, 0x2000, 2); // and of the backplane
    return this;
  }

  indices() {
    return [0, 1, 2, 3].map((i) => this.get(INDICES + 4 * i));
  }

  ring() {
    this.control_ ^= 2;
    this.set(0x18000d6c, this.control_);
  }

  /** Puts packets into the ring and rings once. */
  send(...packets) {
    for (const packet of packets) {
      const data = Buffer.concat([Buffer.from([packet.length - 1, (packet.length - 1) >> 8, 0]), Buffer.from(packet)]);
      const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
      const at = this.get(INDICES);
      const first = Math.min(padded.length, 0x1000 - at);
      this.writeBytes(BACKPLANE, this.window(RINGS + at), padded.subarray(0, first));
      if (first < padded.length) {
        this.writeBytes(BACKPLANE, this.window(RINGS), padded.subarray(first));
      }
      this.set(INDICES, (at + padded.length) & 0xfff);
    }
    this.ring();
  }

  /** Takes one packet out of the ring, or undefined. */
  receive() {
    const [, , end, at] = this.indices();
    if (at === end) {
      return undefined;
    }
    const bytes = (offset, length) =>
      Buffer.from(Array.from({ length }, (_, i) => this.get(RINGS + 0x1000 + ((at + offset + i) & 0xfff), 1)));
    const length = bytes(0, 3).readUIntLE(0, 3);
    const packet = bytes(3, 1 + length);
    this.set(INDICES + 12, (at + 4 + ((length + 3) & ~3)) & 0xfff);
    return packet;
  }
}
