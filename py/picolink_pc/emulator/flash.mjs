// The flash chip: 2 MiB, in memory, with a copy in a file when there is one to keep.
//
// Fault of the emulator: nothing serves its flash controller's erase and program commands, so a filesystem on it
// never changes. The boot ROM's erase and program routines come here instead.

import fs from 'node:fs';

export const FLASH_SIZE = 2 * 1024 * 1024;
const ERASED = 0xff;

export class Flash {
  #drawn = 1; // the last random number: the same in each run
  #underWay; // the last call: where, what was there, and what is there when it is done in part

  /** @param path file that keeps the contents (made when missing), or undefined: forgotten at exit */
  constructor(path) {
    this.bytes = new Uint8Array(FLASH_SIZE).fill(ERASED);
    if (path !== undefined) {
      this.file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT);
      fs.readSync(this.file, this.bytes, 0, FLASH_SIZE, 0);
    }
  }

  erase(offset, length) {
    this.#begin(offset, length, (before) => before | (this.#random() * 256)); // bits on their way to 1, in no order
    this.bytes.fill(ERASED, offset, offset + length);
    this.#save(offset, length);
  }

  /** As in the chip: programming only clears bits. */
  program(offset, data) {
    const reached = this.#random() * data.length;
    this.#begin(offset, data.length, (before, after, i) => (i < reached ? after : before));
    for (let i = 0; i < data.length; i++) {
      this.bytes[offset + i] &= data[i];
    }
    this.#save(offset, data.length);
  }

  /**
   * The call under way takes until the CPU has counted so many cycles. The contents change at once, but power may fail
   * before that: see cut().
   */
  endsAt(cycles) {
    this.#underWay.cycles = cycles;
  }

  /** Power fails when the CPU has counted so many: a call that takes longer has been done in part. */
  cut(cycles) {
    const call = this.#underWay;
    this.#underWay = undefined;
    if (call === undefined || cycles >= call.cycles) {
      return false;
    }
    call.before.forEach((before, i) => {
      this.bytes[call.offset + i] = call.mix(before, this.bytes[call.offset + i], i);
    });
    this.#save(call.offset, call.before.length);
    return true;
  }

  /** From 0 to 1, by xorshift. */
  #random() {
    this.#drawn ^= this.#drawn << 13;
    this.#drawn ^= this.#drawn >>> 17;
    this.#drawn ^= this.#drawn << 5;
    return (this.#drawn >>> 0) / 2 ** 32;
  }

  #begin(offset, length, mix) {
    this.#underWay = { offset, before: this.bytes.slice(offset, offset + length), mix, cycles: 0 };
  }

  /** Writes an image whatever was there, as the chip's USB bootloader does. */
  load(offset, data) {
    this.bytes.set(data, offset);
    this.#save(offset, data.length);
  }

  #save(offset, length) {
    if (this.file !== undefined) {
      fs.writeSync(this.file, this.bytes, offset, length, offset);
    }
  }
}
