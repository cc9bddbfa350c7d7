// The inside of the CYW43439 as the host sees it through function 1 of the bus: a window of 32 KiB into a 32-bit
// address space, and some registers of the bus interface itself, which are named after SDIO.

const REGISTERS = 0x10000; // addresses from here on are registers; below, they go through the window
const WINDOW_MASK = 0x7fff;

// Registers.
const WATERMARK = 0x10008;
const WINDOW_LOW = 0x1000a;
const WINDOW_HIGH = 0x1000c;
const FRAME_CONTROL = 0x1000d; // bit 0 drops the packet that is being read: it is dropped anyway
const CLOCK = 0x1000e;
const PULL_UPS = 0x1000f;
const WAKE_UP = 0x1001e;
const SLEEP = 0x1001f;
const PLAIN_REGISTERS = new Set([WATERMARK, FRAME_CONTROL, PULL_UPS, WAKE_UP]); // keep what is written

const CLOCK_REQUESTS = 0x3f;
const CLOCK_LOW_POWER_RUNS = 0x40;
const CLOCK_FAST_RUNS = 0x80;
const FAST_CLOCK_STARTS_NANOS = 29e6; // after the WLAN processor: the driver's comments say "about 29ms"
const SLEEP_KEEP_ON = 1;
const SLEEP_IS_ON = 2;

// Addresses in the chip.
const RAM_SIZE = 512 * 1024;
const CHIP_COMMON = 0x18000000;
const SAVE_RESTORE = CHIP_COMMON + 0x508;
const SDIO_INTERRUPTS = 0x18002020;
const SDIO_INTERRUPT_MASK = 0x18002024;
const MEMORY_BANK = 0x18004010;
const MEMORY_BANK_POWER = 0x18004044;
const WLAN_PROCESSOR = 0x18103000;
const MEMORY_CONTROLLER = 0x18104000;
const CORE_CONTROL = 0x408; // of both: clock and halt
const CORE_RESET = 0x800;
const BLUETOOTH_MEMORY = 0x19000000;
const BLUETOOTH_MEMORY_SIZE = 0x800000;

const CONTROL_CLOCK = 1;
const CONTROL_FORCE_CLOCK = 2;
const RESET = 1;

const PAGE = 4096;

const hex = (value) => `0x${value.toString(16)}`;

/** Its bytes as a number; at most four count. */
function littleEndian(bytes) {
  return bytes.slice(0, 4).reduceRight((value, byte) => ((value << 8) | byte) >>> 0, 0);
}

/** A part of the chip that the host switches on: in reset and without a clock at first. */
class Core {
  control = 0;
  reset = RESET;

  get isUp() {
    return !(this.reset & RESET) && (this.control & (CONTROL_CLOCK | CONTROL_FORCE_CLOCK)) === CONTROL_CLOCK;
  }
}

export class Backplane {
  #window = CHIP_COMMON;
  #registers = new Map();
  #cores = new Map([
    [WLAN_PROCESSOR, new Core()],
    [MEMORY_CONTROLLER, new Core()],
  ]);
  #words = new Map([
    [SAVE_RESTORE, 0],
    [MEMORY_BANK, 0],
    [MEMORY_BANK_POWER, 0],
  ]);
  #bluetoothPages = new Map();
  #upSince = Infinity;
  #mask = 0;
  #interrupts = 0;

  /**
   * @param nanos () => virtual time
   * @param changed () called when `interrupt` may have changed
   * @param problem (text) called for an address that the model does not know
   */
  constructor({ nanos, changed, problem }) {
    this.nanos = nanos;
    this.changed = changed;
    this.problem = problem;
    this.ram = new Uint8Array(RAM_SIZE);
    this.ramWords = new DataView(this.ram.buffer);
    this.bluetoothBytes = 0; // written to the memory of the Bluetooth part, its firmware for the most part
    this.devices = new Map(); // address of a word -> {read(), write(value)}: what other parts of the chip add
    this.onRamWrite = () => {};
    this.onInterruptsCleared = () => {};
  }

  /** Does the chip's WLAN processor run? */
  get wlanIsUp() {
    return this.#cores.get(WLAN_PROCESSOR).isUp;
  }

  /** Is there an interrupt that the host has not masked? */
  get interrupt() {
    return (this.#interrupts & this.#mask) !== 0;
  }

  raise(interrupts) {
    this.#interrupts |= interrupts;
    this.changed();
  }

  read(address, length) {
    if (address >= REGISTERS) {
      return Uint8Array.of(this.#readRegister(address), 0, 0, 0);
    }
    return this.#readMemory((this.#window | (address & WINDOW_MASK)) >>> 0, length);
  }

  write(address, data) {
    if (address >= REGISTERS) {
      this.#writeRegister(address, data[0]);
    } else {
      this.#writeMemory((this.#window | (address & WINDOW_MASK)) >>> 0, data);
    }
  }

  #readRegister(address) {
    const value = this.#registers.get(address) ?? 0;
    if (address === CLOCK) {
      const fast = this.nanos() >= this.#upSince + FAST_CLOCK_STARTS_NANOS;
      return (value & CLOCK_REQUESTS) | CLOCK_LOW_POWER_RUNS | (fast ? CLOCK_FAST_RUNS : 0);
    }
    if (address === SLEEP) {
      return value & SLEEP_KEEP_ON ? value | SLEEP_IS_ON : value;
    }
    if (!PLAIN_REGISTERS.has(address)) {
      this.problem(`a read of register ${hex(address)}`);
    }
    return value;
  }

  #writeRegister(address, value) {
    if (address >= WINDOW_LOW && address <= WINDOW_HIGH) {
      const shift = 8 * (address - WINDOW_LOW + 1);
      this.#window = ((this.#window & ~(0xff << shift)) | (value << shift)) & ~WINDOW_MASK;
      return;
    }
    if (address !== CLOCK && address !== SLEEP && !PLAIN_REGISTERS.has(address)) {
      this.problem(`a write of ${hex(value)} to register ${hex(address)}`);
    }
    this.#registers.set(address, value);
  }

  #readMemory(address, length) {
    if (address + length <= RAM_SIZE) {
      return this.ram.slice(address, address + length);
    }
    const inBluetooth = address - BLUETOOTH_MEMORY;
    if (inBluetooth >= 0 && inBluetooth + length <= BLUETOOTH_MEMORY_SIZE) {
      return Uint8Array.from({ length }, (_, i) => this.#page(inBluetooth + i)[(inBluetooth + i) % PAGE]);
    }
    const value = this.#readWord(address);
    if (value === undefined || length > 4) {
      this.problem(`a read of ${length} bytes at ${hex(address)}`);
    }
    const bytes = new Uint8Array(Math.max(4, length));
    new DataView(bytes.buffer).setUint32(0, value ?? 0, true);
    return bytes;
  }

  #writeMemory(address, data) {
    if (address + data.length <= RAM_SIZE) {
      this.ram.set(data, address);
      this.onRamWrite(address, data.length);
      return;
    }
    const inBluetooth = address - BLUETOOTH_MEMORY;
    if (inBluetooth >= 0 && inBluetooth + data.length <= BLUETOOTH_MEMORY_SIZE) {
      data.forEach((byte, i) => {
        this.#page(inBluetooth + i)[(inBluetooth + i) % PAGE] = byte;
      });
      this.bluetoothBytes += data.length;
      return;
    }
    const value = littleEndian(data);
    if (data.length > 4 || !this.#writeWord(address, value)) {
      this.problem(`a write of ${data.length} bytes (${hex(value)}) at ${hex(address)}`);
    }
  }

  #page(offset) {
    const number = Math.floor(offset / PAGE);
    let page = this.#bluetoothPages.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE);
      this.#bluetoothPages.set(number, page);
    }
    return page;
  }

  #core(address) {
    return this.#cores.get((address & ~0xfff) >>> 0);
  }

  /** undefined: there is nothing that the model knows. */
  #readWord(address) {
    const core = this.#core(address);
    const offset = address & 0xfff;
    if (core && offset === CORE_CONTROL) {
      return core.control;
    }
    if (core && offset === CORE_RESET) {
      return core.reset;
    }
    if (address === SDIO_INTERRUPTS) {
      return this.#interrupts;
    }
    if (address === SDIO_INTERRUPT_MASK) {
      return this.#mask;
    }
    return this.devices.get(address)?.read() ?? this.#words.get(address);
  }

  /** False: there is nothing that the model knows. */
  #writeWord(address, value) {
    const core = this.#core(address);
    const offset = address & 0xfff;
    if (core && (offset === CORE_CONTROL || offset === CORE_RESET)) {
      core[offset === CORE_CONTROL ? 'control' : 'reset'] = value;
      this.#upSince = this.wlanIsUp ? Math.min(this.#upSince, this.nanos()) : Infinity;
    } else if (address === SDIO_INTERRUPTS) {
      this.#interrupts &= ~value; // a one clears
      this.onInterruptsCleared();
      this.changed();
    } else if (address === SDIO_INTERRUPT_MASK) {
      this.#mask = value;
      this.changed();
    } else if (this.devices.has(address)) {
      this.devices.get(address).write(value);
    } else if (this.#words.has(address)) {
      this.#words.set(address, value);
    } else {
      return false;
    }
    return true;
  }
}
