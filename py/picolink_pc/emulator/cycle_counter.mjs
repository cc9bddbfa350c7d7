// A CPU cycle counter that a program on the board can read, at an address where the RP2040 has nothing:
//
//     from machine import mem32
//     mem32[0x40068000] = 0            # start
//     ...                              # what is to be measured
//     cycles = mem32[0x40068000]       # cycles since the start, sleep excluded
//
// An empty region shows the cost of the two accesses themselves. On a real chip the address is a bus fault.

import { BasePeripheral } from 'rp2040js';

export const CYCLE_COUNTER_ADDRESS = 0x40068000;

export class CycleCounter extends BasePeripheral {
  start = 0;

  readUint32() {
    return (this.rp2040.core.cycles - this.start) >>> 0;
  }

  writeUint32() {
    this.start = this.rp2040.core.cycles;
  }
}
