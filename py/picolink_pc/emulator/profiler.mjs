// Where the CPU of an emulated Pico is: looks at it every so many cycles, while the cycle counter runs.

import { CYCLE_COUNTER_ADDRESS } from './cycle_counter.mjs';

const PERIPHERAL_SHIFT = 12;
const SP = 13;
const STACK_WORDS = 160; // looked at for the innermost Python function
const WORD = 4;
const BYTECODE = 3 * WORD; // in a function of MicroPython's (mp_obj_fun_bc_t)
const RAM = 0x20000000;
const RAM_END = 0x20042000;

export class Profiler {
  #chip;
  #counter;
  #options;
  #next = 0; // cycles at which the next sample is due
  #start; // of the cycle counter, when the samples began
  #samples = new Map();

  /**
   * @param options {sampleCycles, functionTypes}: from one sample to the next; addresses of the types of Python's
   *   functions.
   */
  constructor(chip, options) {
    this.#chip = chip;
    this.#options = options;
    this.#counter = chip.peripherals[CYCLE_COUNTER_ADDRESS >>> PERIPHERAL_SHIFT];
  }

  /** Runs until `end` (cycles) or the next sample, with the chip's own `execute`. */
  execute(execute, end) {
    const { core } = this.#chip;
    if (this.#next <= core.cycles) {
      this.#next = core.cycles + this.#options.sampleCycles;
    }
    execute(Math.min(end, this.#next));
    if (core.cycles >= this.#next && this.#counter.runs) {
      if (this.#counter.begun !== this.#start) {
        this.#start = this.#counter.begun;
        this.#samples.clear();
      }
      const key = `${core.PC} ${this.#pythonFunction()}`;
      this.#samples.set(key, (this.#samples.get(key) ?? 0) + 1);
    }
  }

  /** [[address, address of the Python function's bytecode, how often]...], since the counter was started. */
  get samples() {
    return Array.from(this.#samples, ([key, count]) => [...key.split(' ').map(Number), count]);
  }

  /**
   * Of the innermost Python function that the stack shows: a pointer to it, or to the state of a generator, which
   * begins with one. 0: none.
   */
  #pythonFunction() {
    const sp = this.#chip.core.registers[SP];
    for (let place = sp; place < sp + STACK_WORDS * WORD; place += WORD) {
      const value = this.#word(place);
      const found = this.#isFunction(value) ? value : this.#word(value);
      if (this.#isFunction(found)) {
        return this.#word(found + BYTECODE);
      }
    }
    return 0;
  }

  #isFunction(address) {
    return this.#options.functionTypes.includes(this.#word(address));
  }

  /** The word there, 0 where there is no RAM. */
  #word(address) {
    return address >= RAM && address < RAM_END && address % WORD === 0 ? this.#chip.readUint32(address) >>> 0 : 0;
  }
}
