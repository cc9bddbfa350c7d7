// The flash chip: 2 MiB, in memory, with a copy in a file when there is one to keep.
//
// Fault of the emulator: nothing serves its flash controller's erase and program commands, so a filesystem on it
// never changes. The boot ROM's erase and program routines come here instead.

import fs from 'node:fs';

export const FLASH_SIZE = 2 * 1024 * 1024;
const ERASED = 0xff;

export class Flash {
  /** @param path file that keeps the contents (made when missing), or undefined: forgotten at exit */
  constructor(path) {
    this.bytes = new Uint8Array(FLASH_SIZE).fill(ERASED);
    if (path !== undefined) {
      this.file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT);
      fs.readSync(this.file, this.bytes, 0, FLASH_SIZE, 0);
    }
  }

  erase(offset, length) {
    this.bytes.fill(ERASED, offset, offset + length);
    this.#save(offset, length);
  }

  /** As in the chip: programming only clears bits. */
  program(offset, data) {
    for (let i = 0; i < data.length; i++) {
      this.bytes[offset + i] &= data[i];
    }
    this.#save(offset, data.length);
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
