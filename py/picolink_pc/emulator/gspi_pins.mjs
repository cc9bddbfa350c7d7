// The gSPI bus of a Pico W's radio chip, between pins and a PIO state machine of the RP2040.
//
// The emulator's PIO runs a thousand steps at once and then whenever there is time, so it can't clock out bits that
// anything is to be measured by. This takes over a state machine that is about to run the Pico SDK's program for this
// bus (cyw43_bus_pio_spi.pio), on the right pins: whole words pass between its FIFOs and the chip, each at the time at
// which its last bit would be on the wire. Every other program runs as before.

const POWER = 23; // REG_ON of the chip
const DATA = 24; // both ways, and the chip's interrupt while it is not selected
const SELECT = 25; // low: selected
const CLOCK = 29;

const PIO_CONTROL = 0x000;
const TX_STALL = 1 << 24; // of state machine 0, in FDEBUG
const HIGH = 1; // state of a pin

const NANOS_PER_CYCLE = 8;
const BITS = 32;

const OUT_PIN = 0x6001; // out pins, 1 side 0
const JUMP_X = 0x1040; // jmp x-- ADDRESS side 1
const INPUT = 0xe080; // set pindirs, 0 side 0
const [NOP_LOW, NOP_HIGH] = [0xa042, 0xb042]; // nop side 0, side 1
const [IN_LOW, IN_HIGH] = [0x4001, 0x5001]; // in pins, 1 side 0, side 1
const [JUMP_Y_LOW, JUMP_Y_HIGH] = [0x0080, 0x1080]; // jmp y-- ADDRESS side 0, side 1

// What comes behind the first loop: the programs differ in where the host samples.
const TAILS = {
  spi_gap01_sample0: [INPUT, NOP_HIGH, IN_LOW, JUMP_Y_HIGH],
  spi_gap0_sample1: [INPUT, IN_HIGH, JUMP_Y_LOW],
  spi_gap010_sample1: [INPUT, NOP_HIGH, NOP_LOW, IN_HIGH, JUMP_Y_LOW],
};

/** Where the program begins that this state machine runs, and whether it reads: {reads}. Or undefined: another one. */
function recognize(pio, machine) {
  const { instructions } = pio;
  const { wrapBottom: start, wrapTop: end } = machine;
  if (machine.outBase !== DATA || machine.inBase !== DATA || machine.sidesetBase !== CLOCK) {
    return undefined;
  }
  if (instructions[start] !== OUT_PIN || instructions[start + 1] !== (JUMP_X | start)) {
    return undefined;
  }
  const loop = start + 2;
  for (const tail of Object.values(TAILS)) {
    const last = loop + tail.length - 1;
    const isThere = tail.every((instruction, i) => {
      const target = instruction === JUMP_Y_LOW || instruction === JUMP_Y_HIGH ? last - 1 : 0;
      return instructions[loop + i] === (instruction | target);
    });
    if (isThere && (end === loop - 1 || end === last)) {
      return { reads: end === last };
    }
  }
  return undefined;
}

/** One use of a state machine for the bus: from the moment when it is enabled until it is not. */
class Transfer {
  #alarm;
  #sendLeft; // words; Infinity: the program goes on sending as long as there are any
  #readLeft;
  #dueNanos; // when the next word has passed the wire
  #waits = false; // for room or a word in a FIFO

  constructor(pio, machine, reads, clock, bus) {
    this.pio = pio;
    this.machine = machine;
    this.clock = clock;
    this.bus = bus;
    // X and Y hold one less than the bits to send and to read. Bits that fill no word never leave the state machine.
    this.#sendLeft = this.#words(machine.x);
    this.#readLeft = reads ? Math.floor(((machine.y >>> 0) + 1) / BITS) : 0;
    // Two instructions a bit. The divisor's fraction is 1/256; 0 stands for 65536.
    const divisor = (machine.clockDivInt || 0x10000) + machine.clockDivFrac / 256;
    this.wordNanos = Math.round(2 * BITS * divisor * NANOS_PER_CYCLE);
    this.#alarm = clock.createAlarm(() => this.#word());
    this.#dueNanos = clock.nanos + this.wordNanos;
    this.#alarm.schedule(this.wordNanos);
  }

  stop() {
    this.#alarm.cancel();
  }

  /** A FIFO has changed. */
  resume() {
    if (this.#waits) {
      this.#waits = false;
      // It waits at the start of a word to send, and at the end of one that was read.
      const wait = this.#sendLeft ? this.wordNanos : 0;
      this.#dueNanos = Math.max(this.#dueNanos, this.clock.nanos + wait);
      this.#alarm.schedule(this.#dueNanos - this.clock.nanos);
    }
  }

  #words(oneLess) {
    const bits = (oneLess >>> 0) + 1;
    if (bits % BITS) {
      this.bus.problem(`a gSPI transfer of ${bits} bits, which is not a number of whole words`);
    }
    return Math.ceil(bits / BITS);
  }

  #word() {
    const { pio, machine } = this;
    if (this.#sendLeft) {
      if (machine.txFIFO.empty) {
        this.#waits = true;
        pio.txStall |= TX_STALL << machine.index;
        pio.fdebug |= pio.txStall;
        return;
      }
      this.bus.write(machine.txFIFO.pull());
      this.#sendLeft -= 1;
      machine.updateDMATx();
    } else if (machine.rxFIFO.full) {
      this.#waits = true;
      return;
    } else {
      machine.rxFIFO.push(this.bus.read());
      this.#readLeft -= 1;
      machine.updateDMARx();
    }
    pio.checkInterrupts();
    if (!this.#sendLeft && !this.#readLeft) {
      this.#sendLeft = Infinity; // the program has started over, with 2^32 bits to send
    }
    this.#dueNanos += this.wordNanos;
    this.#alarm.schedule(Math.max(0, this.#dueNanos - this.clock.nanos));
  }
}

/** Selects the chip, and passes words on while it is selected. */
class Bus {
  constructor(radio) {
    this.radio = radio;
    this.selected = false;
  }

  select(selected) {
    if (selected !== this.selected) {
      this.selected = selected;
      if (selected) {
        this.radio.begin();
      } else {
        this.radio.end();
      }
    }
  }

  write(word) {
    if (this.selected) {
      this.radio.write(word);
    } else {
      this.problem('words on the bus while the chip is not selected');
    }
  }

  read() {
    return this.selected ? this.radio.read() : 0;
  }

  problem(text) {
    this.radio.problem(text);
  }
}

/**
 * Connects a radio chip to the pins of a Pico W.
 *
 * @param chip RP2040
 * @param clock CycleClock
 * @param radio Cyw43439
 * @param takenOver the set that buildChip returns
 * @returns interrupt(level), to be called when the chip's interrupt line changes
 */
export function connect(chip, clock, radio, takenOver) {
  const bus = new Bus(radio);
  let interrupt = false;
  const drive = () => chip.gpio[DATA].setInputValue(interrupt && !bus.selected);

  chip.gpio[POWER].addListener((state) => radio.setPower(state === HIGH));
  chip.gpio[SELECT].addListener((state) => {
    bus.select(state === 0);
    drive();
  });
  for (const pio of chip.pio) {
    const transfers = new Map(); // machine -> Transfer
    watchControl(pio, (machine, enable) => {
      transfers.get(machine)?.stop();
      transfers.delete(machine);
      takenOver.delete(machine);
      const program = enable && recognize(pio, machine);
      if (program) {
        transfers.set(machine, new Transfer(pio, machine, program.reads, clock, bus));
        takenOver.add(machine);
      }
    });
    for (const machine of pio.machines) {
      const checkWait = machine.checkWait.bind(machine);
      machine.checkWait = () => (transfers.has(machine) ? transfers.get(machine).resume() : checkWait());
    }
  }
  return (level) => {
    interrupt = level;
    drive();
  };
}

/** Calls `act` with each machine that is about to be enabled or disabled, and which of both. */
function watchControl(pio, act) {
  const write = pio.writeUint32.bind(pio);
  pio.writeUint32 = (offset, value) => {
    if (offset === PIO_CONTROL) {
      for (const machine of pio.machines) {
        const enable = ((value >> machine.index) & 1) === 1;
        if (enable !== machine.enabled) {
          act(machine, enable);
        }
      }
    }
    write(offset, value);
  };
}
