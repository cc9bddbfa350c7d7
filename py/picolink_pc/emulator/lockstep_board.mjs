// One emulated Pico W in virtual time: it runs up to a given moment, as fast as this PC can, and says what happened.

import { buildChip } from './chip.mjs';
import { Cyw43439 } from './cyw43439.mjs';
import { connect } from './gspi_pins.mjs';

const NANOS_PER_CYCLE = 8;
const WATCHDOG_FORCED = 2; // reason of a reset that firmware asked for
const ANOTHER_BOOT = 0x9e3779b9; // spreads seeds: a board that restarts must not draw the same numbers again

/**
 * All times are nanoseconds of virtual time. Off at first.
 *
 * `happened` holds what it has to tell since it was emptied, in order: [time, what, detail]. `what` is
 *   'off' it has been switched off,
 *   'hci' an HCI packet of the host (bytes), 'radio' the radio chip's power (bool), 'led' (bool),
 *   'serial' the USB serial port is there, 'output' bytes from it,
 *   'torn' power was cut while a call wrote to flash or erased it; it has been done in part,
 *   'reset' and 'bootloader' firmware asked for it (the board has started again), 'problem' a text for a person
 */
export class LockstepBoard {
  #flash;
  #options;
  #boots = 0;
  #base = 0; // time at which it was switched on
  #open = false;
  #stopped; // why firmware is not to run on
  #offTime = 0;
  #before = { cycles: 0, slept: 0, misses: 0 }; // counts of earlier boots
  #nextSample = 0;
  happened = [];
  samples = []; // where the CPU was, since it was emptied
  frozen = false;

  /**
   * @param flash Flash
   * @param options {mac, uniqueId, seed, missCycles, radio, sampleCycles}: see buildChip and Cyw43439; radio: is there
   *   such a chip?  sampleCycles: how many cycles after the last one a sample is taken of where the CPU is; 0: none
   */
  constructor(flash, options) {
    this.#flash = flash;
    this.#options = options;
  }

  get isOn() {
    return this.clock !== undefined;
  }

  get time() {
    return this.isOn ? this.#base + this.clock.nanos : this.#offTime;
  }

  /** Until when nothing happens that comes from the board itself; Infinity: for ever. */
  get idleUntil() {
    if (!this.isOn) {
      return Infinity;
    }
    const sleeps = this.chip.core.waiting || this.frozen;
    return sleeps ? this.time + this.clock.nanosToNextAlarm : this.time;
  }

  /**
   * Since the first start: cycles in which the CPU worked or waited for flash, nanoseconds in which it slept, and misses
   * of the flash cache.
   */
  get counts() {
    const { cycles, slept, misses } = this.#before;
    if (!this.isOn) {
      return this.#before;
    }
    return {
      cycles: cycles + this.chip.core.cycles,
      slept: slept + this.clock.sleptNanos,
      misses: misses + (this.cache?.misses ?? 0),
    };
  }

  /** Bytes of HCI packets that wait for the host. */
  get backlog() {
    return this.radio?.backlog ?? 0;
  }

  powerOn() {
    this.frozen = false;
    this.#boot(this.time, 0);
  }

  /** At `time`; the board may be ahead of it by what writing to flash takes. */
  powerOff(time) {
    const ahead = Math.floor((this.time - time) / NANOS_PER_CYCLE);
    if (this.isOn && this.#flash.cut(this.chip.core.cycles - ahead)) {
      this.#tell('torn');
    }
    this.#before = this.counts;
    this.#tellRadio(false);
    this.#tell('off');
    this.#offTime = this.time;
    this.chip = this.clock = this.serial = this.radio = this.cache = undefined;
  }

  /** Something from outside happens at `time`, which has not come yet: `act` is called then. */
  at(time, act) {
    this.clock?.createAlarm(act).schedule(Math.max(0, time - this.time));
  }

  /** An HCI packet of the controller (bytes). */
  sendHci(packet) {
    this.radio?.sendHci(packet);
  }

  /** Bytes for the USB serial port. */
  write(bytes) {
    this.serial.write(bytes);
  }

  setOpen(open) {
    this.#open = open;
    this.serial?.setOpen(open);
  }

  /** Runs up to `until`; it may end some instructions later, or as long as writing to flash takes. */
  run(until) {
    while (this.isOn && this.time < until) {
      const { clock } = this;
      const { core } = this.chip;
      const left = until - this.time;
      if (core.waiting || this.frozen) {
        clock.sleep(Math.min(left, clock.nanosToNextAlarm));
      } else {
        this.#execute(core.cycles + Math.ceil(left / NANOS_PER_CYCLE));
      }
      clock.fireDueAlarms(); // one of them may be the watchdog's
      if (this.#stopped) {
        this.#restart();
      }
    }
    if (!this.isOn) {
      this.#offTime = Math.max(until, this.#offTime);
    }
  }

  #execute(end) {
    const { core } = this.chip;
    const { sampleCycles } = this.#options;
    if (!sampleCycles) {
      this.execute(end);
      return;
    }
    this.execute(Math.min(end, this.#nextSample));
    if (core.cycles >= this.#nextSample) {
      this.samples.push(core.PC);
      this.#nextSample = core.cycles + sampleCycles;
    }
  }

  #tell(what, detail) {
    this.happened.push([this.time, what, detail]);
  }

  #tellRadio(on) {
    if (this.radio?.powered) {
      this.#tell('radio', on);
    }
  }

  #restart() {
    const reason = this.#stopped;
    this.#tell(reason);
    this.#before = this.counts;
    this.#tellRadio(false); // the pin that switches it on falls with the reset
    this.#boot(this.time, reason === 'reset' ? WATCHDOG_FORCED : 0);
  }

  #boot(time, watchdogReason) {
    const { mac, uniqueId, radio, missCycles } = this.#options;
    const seed = (this.#options.seed + Math.imul(this.#boots, ANOTHER_BOOT)) >>> 0;
    this.#boots += 1;
    this.#base = time;
    this.#nextSample = 0;
    this.#stopped = undefined;
    const stop = (reason) => {
      this.#stopped = reason;
      this.chip.core.waiting = true; // ends the fast core's run after this instruction
    };
    const built = buildChip(this.#flash, stop, { watchdogReason, seed, uniqueId, missCycles, since: time });
    const { chip, clock, serial, cache, execute } = built;
    Object.assign(this, { chip, clock, serial, cache, execute });
    this.serial.setOpen(this.#open);
    this.serial.onDeviceConnected = () => this.#tell('serial');
    this.serial.onSerialData = (bytes) => this.#tell('output', bytes.slice());
    this.radio = radio ? this.#buildRadio(mac, built.takenOver) : undefined;
  }

  #buildRadio(mac, takenOver) {
    let interrupt = () => {};
    const radio = new Cyw43439({
      mac,
      nanos: () => this.clock.nanos,
      tell: {
        power: (on) => this.#tell('radio', on),
        interrupt: (level) => interrupt(level),
        hci: (packet) => this.#tell('hci', packet),
        led: (on) => this.#tell('led', on),
        problem: (text) => this.#tell('problem', text),
      },
    });
    interrupt = connect(this.chip, this.clock, radio, takenOver);
    return radio;
  }
}
