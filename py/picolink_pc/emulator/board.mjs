// One emulated Raspberry Pi Pico: its chip, and the loop that runs it at the pace of real time at most.

import { EventEmitter } from 'node:events';

import { buildChip } from './chip.mjs';
import { Profiler } from './profiler.mjs';

const SLICE_CYCLES = 500_000; // about 10 ms on a PC, then sockets and timers have their turn
const SHORTEST_PAUSE_NANOS = 2_000_000;

/**
 * Events: 'serial' (the USB serial port is there), 'output' (bytes from it), 'reset' and 'bootloader' (firmware asked
 * for them, or the watchdog timed out; nothing runs until `boot` is called again).
 */
export class Board extends EventEmitter {
  #pause; // the pause of real time that runs while the CPU sleeps: {started, nanos, timer}
  #shortSleepNanos = 0; // sleep since the last pause; each is too short for a timer of its own
  #held = false;
  #heldRun = false; // #run found the board held and returned
  #options;

  /** @param options {sampleCycles, functionTypes}: see Profiler; without them there is none. */
  constructor(flash, options = {}) {
    super();
    this.flash = flash;
    this.#options = options;
  }

  /** Power-on, or a reset: everything but the flash starts anew. */
  boot(watchdogReason = 0) {
    const open = this.serial?.open ?? false;
    const stop = (reason) => this.#stop(reason);
    const { chip, clock, serial, execute } = buildChip(this.flash, stop, { watchdogReason });
    this.chip = chip;
    this.clock = clock;
    this.serial = serial;
    serial.setOpen(open);
    serial.onDeviceConnected = () => this.emit('serial');
    serial.onSerialData = (bytes) => this.emit('output', bytes);
    this.execute = execute;
    if (this.#options.sampleCycles) {
      this.profiler = new Profiler(chip, this.#options);
      this.execute = (end) => this.profiler.execute(execute, end);
    }
    this.stopped = undefined;
    this.#run();
  }

  /** Bytes for the board's USB serial port. */
  write(bytes) {
    this.serial.write(bytes);
    this.#wake();
  }

  setSerialOpen(open) {
    this.serial.setOpen(open);
    this.#wake();
  }

  /** Stops the board's time while whoever reads its output is behind; release() goes on. */
  hold() {
    this.#held = true;
  }

  release() {
    this.#held = false;
    if (this.#heldRun) {
      this.#heldRun = false;
      this.#run();
    }
  }

  #stop(reason) {
    this.stopped = reason;
    this.chip.core.waiting = true; // ends the fast core's run after this instruction
  }

  #run() {
    if (this.#held) {
      this.#heldRun = true;
      return;
    }
    const { clock } = this;
    const { core } = this.chip;
    const sliceEnd = core.cycles + SLICE_CYCLES;
    while (core.cycles < sliceEnd && !this.stopped) {
      if (core.waiting && !this.#sleep()) {
        return;
      }
      this.execute(sliceEnd);
      clock.fireDueAlarms(); // one of them may be the watchdog's
    }
    setImmediate(() => (this.stopped ? this.emit(this.stopped) : this.#run()));
  }

  /**
   * Sleeps until the next alarm. Virtual time never runs ahead of real time while the CPU sleeps, so that a
   * program's pauses and time-outs are what they are on a board. False: real time must pass first.
   */
  #sleep() {
    const nanos = this.clock.nanosToNextAlarm;
    this.#shortSleepNanos += nanos;
    if (this.#shortSleepNanos < SHORTEST_PAUSE_NANOS) {
      this.clock.sleep(nanos);
      this.clock.fireDueAlarms();
      return true;
    }
    this.#shortSleepNanos = 0;
    const timer = nanos === Infinity ? undefined : setTimeout(() => this.#wake(), nanos / 1e6);
    this.#pause = { started: performance.now(), nanos, timer };
    return false;
  }

  #wake() {
    if (this.#pause) {
      const { started, nanos, timer } = this.#pause;
      clearTimeout(timer);
      this.#pause = undefined;
      this.clock.sleep(Math.min(nanos, Math.round((performance.now() - started) * 1e6)));
      this.clock.fireDueAlarms();
      this.#run();
    }
  }
}
