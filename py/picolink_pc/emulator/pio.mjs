// Faults of the emulator's PIO, mended.

const PIO_CONTROL = 0x000;
const SHIFT_CONTROL = 0x8; // of a state machine, from its first register
const FIFO_JOIN = 0xc0000000;
const STEPS = 1000;
const PAUSE_NANOS = 1e6;

/**
 * It runs a thousand steps when a machine is enabled and then whenever the PC has time, which no two runs do at the
 * same place: here a thousand steps a millisecond of virtual time. It also runs machines that are not enabled.
 *
 * @param takenOver set of machines whose work somebody else does
 */
export function runOnClock(pio, clock, takenOver) {
  const alarm = clock.createAlarm(run);
  let scheduled = false;
  const isRunning = (machine) => machine.enabled && !takenOver.has(machine);

  for (const machine of pio.machines) {
    const step = machine.step.bind(machine);
    machine.step = () => {
      if (isRunning(machine)) {
        step();
      }
    };
  }

  function run() {
    scheduled = pio.machines.some(isRunning);
    if (scheduled) {
      for (let i = 0; i < STEPS; i++) {
        pio.step();
      }
      alarm.schedule(PAUSE_NANOS);
    }
  }

  pio.run = () => {};
  const write = pio.writeUint32.bind(pio);
  pio.writeUint32 = (offset, value) => {
    write(offset, value);
    if (offset === PIO_CONTROL && !scheduled) {
      run();
    }
  };
}

/** FIFOs keep their contents when they are joined or parted; firmware empties them that way. */
export function emptyFifosWhenJoined(machine) {
  const write = machine.writeUint32.bind(machine);
  machine.writeUint32 = (offset, value) => {
    if (offset === SHIFT_CONTROL && (value ^ machine.shiftCtrl) & FIFO_JOIN) {
      machine.txFIFO.reset();
      machine.rxFIFO.reset();
      machine.updateDMATx();
      machine.updateDMARx();
    }
    write(offset, value);
  };
}
