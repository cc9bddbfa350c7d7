// Virtual time that follows the CPU's cycle counter.
//
// The emulator's own clock must be moved after every instruction. This one is read off the counter instead, so the
// run loop only compares two numbers per instruction: it stops when `core.cycles` reaches `clock.dueCycles`.

const NANOS_PER_CYCLE = 8; // 125 MHz

class Alarm {
  constructor(clock, callback) {
    this.clock = clock;
    this.callback = callback;
    this.nanos = 0;
  }

  schedule(deltaNanos) {
    this.clock.remove(this);
    this.nanos = this.clock.nanos + deltaNanos;
    this.clock.insert(this);
  }

  cancel() {
    this.clock.remove(this);
  }
}

export class CycleClock {
  /** `core.cycles` counts; asleep the CPU counts none, so `sleep` adds that time. */
  constructor() {
    this.core = { cycles: 0 }; // until the chip that needs a clock in its constructor exists
    this.sleptNanos = 0;
    this.alarms = []; // soonest first
    this.dueCycles = Infinity;
  }

  get nanos() {
    return this.core.cycles * NANOS_PER_CYCLE + this.sleptNanos;
  }

  createAlarm(callback) {
    return new Alarm(this, callback);
  }

  insert(alarm) {
    const after = this.alarms.findIndex((other) => other.nanos > alarm.nanos);
    this.alarms.splice(after < 0 ? this.alarms.length : after, 0, alarm);
    this.updateDue();
  }

  remove(alarm) {
    const index = this.alarms.indexOf(alarm);
    if (index >= 0) {
      this.alarms.splice(index, 1);
      this.updateDue();
    }
  }

  updateDue() {
    const [next] = this.alarms;
    this.dueCycles = next ? Math.ceil((next.nanos - this.sleptNanos) / NANOS_PER_CYCLE) : Infinity;
  }

  get nanosToNextAlarm() {
    const [next] = this.alarms;
    return next ? Math.max(0, next.nanos - this.nanos) : Infinity;
  }

  sleep(nanos) {
    this.sleptNanos += nanos;
    this.updateDue();
  }

  fireDueAlarms() {
    while (this.core.cycles >= this.dueCycles) {
      const alarm = this.alarms.shift();
      this.updateDue();
      alarm.callback();
    }
  }
}
