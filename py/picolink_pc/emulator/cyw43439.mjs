// The CYW43439, the radio chip of a Pico W, as far as firmware on the RP2040 sees it: over its gSPI bus.
//
// What goes over the bus, from the chip's public data sheet (Infineon 002-30348, "gSPI interface") and from what the
// open driver (georgerobotics/cyw43-driver) expects. A transaction is one 32-bit command and then data:
//
//     31 write | 30 increment the address | 29..28 function | 27..11 address | 10..0 length in bytes
//
// Functions: 0 the bus itself, 1 the chip's inside ("backplane"), 2 packets of its WLAN part. Firmware for the chip
// is taken and not run: what the chip's own processors do is modelled, in cyw43439_wlan.mjs and
// cyw43439_bluetooth.mjs. Nothing here knows pins or clocks: words come in and go out (see gspi_pins.mjs).
//
// An access that the model does not know is answered with zeros, and told.

import { Backplane } from './cyw43439_backplane.mjs';
import { Bluetooth } from './cyw43439_bluetooth.mjs';
import { Wlan } from './cyw43439_wlan.mjs';

const BUS = 0;
const BACKPLANE = 1;
const WLAN = 2;

// Registers of function 0, by their first byte.
const BUS_CONTROL = 0x00;
const STATUS_ENABLE = 0x02;
const INTERRUPT = 0x04;
const INTERRUPT_ENABLE = 0x06;
const STATUS = 0x08;
const BACKPLANE_INFO = 0x0c;
const WLAN_INFO = 0x0e;
const TEST_READ_ONLY = 0x14;
const RESPONSE_DELAY_BACKPLANE = 0x1d;
const LAST_REGISTER = 0x1f;
const CARD_CAPABILITY = 0xf0; // of the SDIO bus that the chip has, too; written by the driver, without effect here

const CONTROL_WORD_LENGTH_32 = 0x01;
const CONTROL_BIG_ENDIAN = 0x02;
const STATUS_AFTER_DATA = 0x01;
const TEST_PATTERN = 0xfeedbead;

const INTERRUPT_UNDERFLOW = 0x0002;
const INTERRUPT_COMMAND_ERROR = 0x0008;
const INTERRUPT_PACKET = 0x0020;
const INTERRUPT_BACKPLANE = 0x2000;

const STATUS_WLAN_READY = 0x20;
const STATUS_PACKET = 0x100;
const STATUS_PACKET_LENGTH_SHIFT = 9;

const FUNCTION_ENABLED_AND_READY = 3;

/** 16-bit words, the first one in the low half, each with its most significant bit first: how the chip wakes up. */
const swapHalves = (word) => ((word << 16) | (word >>> 16)) >>> 0;
const swapBytes = (word) =>
  ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;

const hex = (value) => `0x${value.toString(16)}`;

export class Cyw43439 {
  /**
   * @param mac its MAC address: 6 bytes. Bluetooth's is one more.
   * @param nanos () => virtual time
   * @param tell what happens, by name:
   *   power(on): it was switched on or off
   *   interrupt(level): the interrupt line has changed
   *   hci(packet): an HCI packet of the host for its controller (Uint8Array, H4: type, then the rest)
   *   led(on): the LED of a Pico W, which hangs on this chip
   *   problem(text): an access that the model does not know
   */
  constructor({ mac, nanos, tell }) {
    this.mac = mac;
    this.nanos = nanos;
    this.tell = tell;
    this.powered = false;
    this.#reset();
  }

  /** The pin REG_ON. Without power the chip forgets everything, also what its radio was doing. */
  setPower(on) {
    if (on !== this.powered) {
      this.powered = on;
      this.#reset();
      this.tell.interrupt(false);
      this.tell.power(on);
    }
  }

  /** Chip select goes low: a transaction begins. */
  begin() {
    this.command = undefined;
    this.received = 0; // bytes of it that have come
  }

  /** A word from the host, as it is on the wire: the most significant bit first. */
  write(word) {
    if (!this.powered) {
      return;
    }
    const value = this.#convert(word);
    if (this.command === undefined) {
      this.#startCommand(value);
    } else if (this.command.write) {
      this.#receive(value);
    } else {
      this.problem(`the host goes on writing in ${this.#describe()}`);
    }
  }

  /** A word for the host. Zero without power, as the line is pulled down. */
  read() {
    if (!this.powered || this.command === undefined || this.command.write) {
      return 0;
    }
    const { answer, at } = this.command;
    if (at < 0) {
      this.command.at += 4; // the pause that the host has asked for
      return 0;
    }
    let value = 0;
    for (let i = 0; i < 4; i++) {
      value |= (answer[at + i] ?? 0) << (8 * i);
    }
    this.command.at += 4;
    return this.#convert(value >>> 0);
  }

  /** Chip select goes high: the transaction is over. */
  end() {
    const { command } = this;
    if (command?.write && this.received < command.length) {
      this.problem(`${this.#describe()} ended after ${this.received} bytes`);
      this.#raise(INTERRUPT_COMMAND_ERROR);
    }
    this.command = undefined;
  }

  /** An HCI packet of the controller for its host (H4). */
  sendHci(packet) {
    if (this.powered) {
      this.bluetooth.send(packet);
    }
  }

  /** Bytes of HCI packets that the host has not fetched yet. */
  get backlog() {
    return this.bluetooth.backlog;
  }

  /** Tells of something that the model does not know, once for each text. */
  problem(text) {
    if (!this.told.has(text)) {
      this.told.add(text);
      this.tell.problem(`the radio chip does not know this: ${text}`);
    }
  }

  #reset() {
    this.told = new Set();
    this.command = undefined;
    this.bus = new Uint8Array(LAST_REGISTER + 1);
    new DataView(this.bus.buffer).setUint32(TEST_READ_ONLY, TEST_PATTERN, true);
    this.interrupts = 0;
    this.level = false;
    const changed = () => this.#updateInterrupt();
    const problem = (text) => this.problem(text);
    this.backplane = new Backplane({ nanos: this.nanos, changed, problem });
    this.wlan = new Wlan({ mac: this.mac, led: (on) => this.tell.led(on), changed, problem });
    this.bluetooth = new Bluetooth({ backplane: this.backplane, hci: (packet) => this.tell.hci(packet), problem });
  }

  get #wordLength32() {
    return (this.bus[BUS_CONTROL] & CONTROL_WORD_LENGTH_32) !== 0;
  }

  /** Between what is on the wire and the value; both ways the same. */
  #convert(word) {
    if (this.bus[BUS_CONTROL] & CONTROL_BIG_ENDIAN) {
      return swapBytes(word);
    }
    return this.#wordLength32 ? word : swapHalves(word);
  }

  #startCommand(value) {
    const command = {
      write: value >>> 31 === 1,
      increments: ((value >>> 30) & 1) === 1,
      function: (value >>> 28) & 3,
      address: (value >>> 11) & 0x1ffff,
      length: value & 0x7ff,
    };
    this.command = command;
    this.received = 0;
    if (command.function > WLAN) {
      this.problem(this.#describe());
    } else if (!command.increments && command.function !== WLAN && command.length > 4) {
      this.problem(`${this.#describe()}, all to one address`);
    }
    if (command.write) {
      command.data = new Uint8Array(command.length);
    } else {
      command.answer = this.#answer(command);
      command.at = command.function === BACKPLANE ? -this.bus[RESPONSE_DELAY_BACKPLANE] : 0;
    }
  }

  #receive(value) {
    const { command } = this;
    const missing = command.length - this.received;
    if (missing <= 0) {
      this.problem(`the host goes on writing after ${this.#describe()}`);
      return;
    }
    for (let i = 0; i < Math.min(4, missing); i++) {
      command.data[this.received + i] = value >>> (8 * i);
    }
    this.received += Math.min(4, missing);
    if (this.received === command.length) {
      this.#execute(command);
    }
  }

  #describe() {
    const { write, function: number, address, length } = this.command;
    const where = ['the bus', 'the backplane', 'the WLAN packets', 'function 3'][number];
    return `a ${write ? 'write' : 'read'} of ${length} bytes at ${hex(address)} of ${where}`;
  }

  #answer({ function: number, address, length }) {
    if (number === BUS) {
      return this.#readBus(address, length);
    }
    if (number === BACKPLANE) {
      return this.backplane.read(address, length);
    }
    if (number === WLAN) {
      const packet = this.wlan.take();
      if (packet === undefined) {
        this.problem('a read of a WLAN packet when there is none');
        this.#raise(INTERRUPT_UNDERFLOW);
      }
      return packet ?? new Uint8Array(length);
    }
    return new Uint8Array(length);
  }

  #execute({ function: number, address, data }) {
    if (number === BUS) {
      this.#writeBus(address, data);
    } else if (number === BACKPLANE) {
      this.backplane.write(address, data);
    } else if (number === WLAN) {
      this.wlan.receive(data);
    }
  }

  #readBus(address, length) {
    const registers = new DataView(this.bus.buffer);
    registers.setUint16(INTERRUPT, this.#pending, true);
    const packet = this.wlan.nextLength;
    const ready = this.backplane.wlanIsUp ? STATUS_WLAN_READY : 0;
    const waiting = packet ? STATUS_PACKET | (packet << STATUS_PACKET_LENGTH_SHIFT) : 0;
    registers.setUint32(STATUS, (ready | waiting) >>> 0, true);
    registers.setUint16(BACKPLANE_INFO, FUNCTION_ENABLED_AND_READY, true);
    registers.setUint16(WLAN_INFO, FUNCTION_ENABLED_AND_READY, true);
    if (address + length > this.bus.length) {
      this.problem(this.#describe());
      return new Uint8Array(length);
    }
    return this.bus.slice(address, address + length);
  }

  #writeBus(address, data) {
    if (address === CARD_CAPABILITY) {
      return;
    }
    if (address + data.length > this.bus.length || (address >= STATUS && address < TEST_READ_ONLY + 4)) {
      this.problem(this.#describe());
      return;
    }
    data.forEach((byte, i) => {
      const register = address + i;
      if (register === INTERRUPT || register === INTERRUPT + 1) {
        this.interrupts &= ~(byte << (8 * (register - INTERRUPT))); // a one clears
      } else {
        this.bus[register] = byte;
      }
    });
    if (this.bus[STATUS_ENABLE] & STATUS_AFTER_DATA) {
      this.problem('that it is to send its status after each transaction');
    }
    this.#updateInterrupt();
  }

  /** What has happened, and what is the case: the latter can't be cleared. */
  get #pending() {
    return (
      this.interrupts |
      (this.wlan.nextLength ? INTERRUPT_PACKET : 0) |
      (this.backplane.interrupt ? INTERRUPT_BACKPLANE : 0)
    );
  }

  #raise(interrupt) {
    this.interrupts |= interrupt;
    this.#updateInterrupt();
  }

  #updateInterrupt() {
    const enabled = new DataView(this.bus.buffer).getUint16(INTERRUPT_ENABLE, true);
    const level = this.powered && (this.#pending & enabled) !== 0;
    if (level !== this.level) {
      this.level = level;
      this.tell.interrupt(level);
    }
  }
}
