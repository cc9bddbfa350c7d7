// The cache between an RP2040 and its flash: 16 KiB, two ways, lines of 8 bytes (data sheet, 2.6.3.1).
//
// A miss stops the CPU until a whole line has come over the flash's four data lines. With the Pico's settings (half the
// system clock, boot2_w25q080.S of the Pico SDK) that is at least 8 + 4 + 16 clocks for address, wait and data, or 56
// cycles of the CPU; the word that the CPU waits for has come after 40. What the bus adds is not published. So a miss
// costs about 50 cycles. Which way is replaced is not published either: here it is the one not used for longer.

const LINE_BITS = 3;
const SETS = 1024;

export class FlashCache {
  #newer = new Int32Array(SETS).fill(-1);
  #older = new Int32Array(SETS).fill(-1);
  #last = -1; // the line of the access before: most accesses are to the same
  misses = 0;

  /** @param missCycles what a miss costs */
  constructor(missCycles) {
    this.missCycles = missCycles;
  }

  /** Reads what is at `offset` in flash: how long the CPU waits for it, in cycles. */
  read(offset) {
    const line = offset >>> LINE_BITS;
    if (line === this.#last) {
      return 0;
    }
    this.#last = line;
    const set = line & (SETS - 1);
    const newer = this.#newer[set];
    if (newer === line) {
      return 0;
    }
    this.#newer[set] = line;
    if (this.#older[set] === line) {
      this.#older[set] = newer;
      return 0;
    }
    this.#older[set] = newer;
    this.misses += 1;
    return this.missCycles;
  }

  /** Forgets everything, as when the flash is written to. */
  flush() {
    this.#newer.fill(-1);
    this.#older.fill(-1);
    this.#last = -1;
  }
}
