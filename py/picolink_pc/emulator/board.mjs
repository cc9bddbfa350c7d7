// One emulated Raspberry Pi Pico: the chip, its flash, its USB serial port, and the loop that runs it.

import { EventEmitter } from 'node:events';
import { RP2040 } from 'rp2040js';

import { buildBootrom } from './bootrom.mjs';
import { CycleClock } from './clock.mjs';
import { CYCLE_COUNTER_ADDRESS, CycleCounter } from './cycle_counter.mjs';
import { raiseTransmitInterruptAfterWrites } from './uart.mjs';
import { UsbSerial } from './usb_serial.mjs';

const FLASH_BASE = 0x10000000;
const WATCHDOG_ADDRESS = 0x40058000;
const SLICE_CYCLES = 500_000; // about 10 ms on a PC, then sockets and timers have their turn
const SHORTEST_PAUSE_NANOS = 2_000_000;

// The emulator warns of each register that it does not model; firmware touches many of them.
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Events: 'serial' (the USB serial port is there), 'output' (bytes from it), 'reset' and 'bootloader' (firmware asked
 * for them; nothing runs until `boot` is called again).
 */
export class Board extends EventEmitter {
  #pause; // the pause of real time that runs while the CPU sleeps: {started, nanos, timer}
  #shortSleepNanos = 0; // sleep since the last pause; each is too short for a timer of its own
  #held = false;
  #heldRun = false; // #run found the board held and returned

  constructor(flash) {
    super();
    this.flash = flash;
  }

  /** Power-on, or a reset: everything but the flash starts anew. */
  boot(watchdogReason = 0) {
    const clock = new CycleClock();
    const chip = new RP2040(clock);
    chip.logger = quiet;
    clock.core = chip.core;

    const bootrom = buildBootrom(this.flash, () => this.#stop('bootloader'));
    chip.onBreak = (number) => bootrom.call(number, chip.core);
    chip.loadBootrom(bootrom.image);
    chip.flash = this.flash.bytes;
    chip.flashView = new DataView(chip.flash.buffer);
    chip.flash16 = new Uint16Array(chip.flash.buffer);

    const watchdog = chip.peripherals[WATCHDOG_ADDRESS >>> 12];
    watchdog.reason = watchdogReason;
    watchdog.onWatchdogTrigger = () => this.#stop('reset');
    chip.peripherals[CYCLE_COUNTER_ADDRESS >>> 12] = new CycleCounter(chip, 'cycle counter');
    chip.uart.forEach(raiseTransmitInterruptAfterWrites);

    const open = this.serial?.open ?? false;
    this.serial = new UsbSerial(chip.usbCtrl);
    this.serial.setOpen(open);
    this.serial.onDeviceConnected = () => this.emit('serial');
    this.serial.onSerialData = (bytes) => this.emit('output', bytes);

    this.clock = clock;
    this.chip = chip;
    this.stopped = undefined;
    chip.core.PC = FLASH_BASE;
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
    this.chip.core.waiting = true; // leaves the inner loop of #run after this instruction
  }

  #run() {
    if (this.#held) {
      this.#heldRun = true;
      return;
    }
    const { clock } = this;
    const { core } = this.chip;
    const sliceEnd = core.cycles + SLICE_CYCLES;
    while (core.cycles < sliceEnd) {
      if (core.waiting && !this.#sleep()) {
        return;
      }
      while (core.cycles < clock.dueCycles && core.cycles < sliceEnd && !core.waiting) {
        core.executeInstruction();
      }
      if (this.stopped) {
        setImmediate(() => this.emit(this.stopped));
        return;
      }
      clock.fireDueAlarms();
    }
    setImmediate(() => this.#run());
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
