// The ring oscillator, which firmware takes random bits from. Fault of the emulator: it has none, so that every board
// draws the same numbers. Here they come from a seed: the same board draws the same ones in every run.

import { BasePeripheral } from 'rp2040js';

export const RING_OSCILLATOR_ADDRESS = 0x40060000;

const STATUS = 0x18;
const RANDOM_BIT = 0x1c;
const STABLE_AND_ENABLED = (0x80001000 | 0) >>> 0;

export class RingOscillator extends BasePeripheral {
  #registers = new Map();
  #state;

  /** @param seed any integer */
  constructor(chip, name, seed) {
    super(chip, name);
    this.#state = seed >>> 0;
  }

  readUint32(offset) {
    if (offset === RANDOM_BIT) {
      return this.#bit();
    }
    return offset === STATUS ? STABLE_AND_ENABLED : (this.#registers.get(offset) ?? 0);
  }

  writeUint32(offset, value) {
    this.#registers.set(offset, value);
  }

  /** Mulberry32, a small generator with 32 bits of state (Tommy Ettinger, public domain). */
  #bit() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 31;
  }
}
