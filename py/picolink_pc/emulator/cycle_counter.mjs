// A CPU cycle counter that a program on the board can read, at an address where the RP2040 has nothing:
//
//     from machine import mem32
//     mem32[0x40068000] = 0            # start
//     ...                              # what is to be measured
//     cycles = mem32[0x40068000]       # cycles since the start, sleep excluded
//
// An empty region shows the cost of the two accesses themselves. mem32[0x40068004] = 1 stops the counter, and = 0 lets it
// go on when that was written as often as 1; a start lets it run, too. On a real chip the address is a bus fault.
//
// Behind it is the time in microseconds that all boards of a room share: mem32[0x40068008] is its lower half, and
// mem32[0x4006800c] the upper half as of then.

import { BasePeripheral } from 'rp2040js';

export const CYCLE_COUNTER_ADDRESS = 0x40068000;

const STOP = 4;
const LOWER_MICROS = 8;
const UPPER_MICROS = 12;
const HALF = 2 ** 32;

export class CycleCounter extends BasePeripheral {
  #upper = 0;
  #stops = 0;
  #stoppedAt = 0;
  begun = 0; // how often it was started
  start = 0; // cycles at which the counter would have been 0 if it had never stopped
  since = 0; // nanoseconds: when the board was switched on, in the time of its room

  get runs() {
    return this.begun > 0 && this.#stops === 0;
  }

  readUint32(offset) {
    if (offset === LOWER_MICROS) {
      const micros = Math.floor((this.since + this.rp2040.clock.nanos) / 1000);
      this.#upper = Math.floor(micros / HALF);
      return micros % HALF;
    }
    const now = this.#stops ? this.#stoppedAt : this.rp2040.core.cycles;
    return offset === UPPER_MICROS ? this.#upper : (now - this.start) >>> 0;
  }

  writeUint32(offset, value) {
    const { cycles } = this.rp2040.core;
    if (offset !== STOP) {
      this.begun++;
      this.#stops = 0;
      this.start = cycles;
    } else if (value) {
      if (this.#stops++ === 0) {
        this.#stoppedAt = cycles;
      }
    } else if (--this.#stops === 0) {
      this.start += cycles - this.#stoppedAt;
    }
  }
}
