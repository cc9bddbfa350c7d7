// The boot ROM of the emulated RP2040: ours, because the chip's own is not part of the emulator.
//
// Firmware finds ROM functions by two-letter codes (RP2040 datasheet, 2.8.3 "Bootrom contents"). Each function
// here is two instructions, `bkpt #n` and `bx lr`: the breakpoint calls the JavaScript below, which works on the
// registers (r0.. are the arguments, r0 is the result) and adds the cycles that the chip's own routine would take,
// to within some per cent. Arithmetic with floats and doubles is JavaScript's, rounded to their bits.

const VERSION = 3; // what RP2040 B2, the chip on every current Pico, reports
const STACK_TOP = 0x20041f00;
const FUNCTIONS_START = 0x200;
const THUMB = 1;

const BKPT = 0xbe00;
const BX_LR = 0x4770;

// Cycles of the chip's routines where no loop decides: bit operations and float arithmetic (datasheet, 2.8.3.2).
const BIT_OPERATION_CYCLES = 20;
const FLOAT_CYCLES = { arithmetic: 70, functions: 600 };
const DOUBLE_CYCLES = { arithmetic: 110, functions: 1700 };

// How long writing to flash takes, typically (data sheet of the W25Q16JV, "AC electrical characteristics"): a page is
// programmed in 0.4 ms, a sector of 4 KiB erased in 45 ms, a block of 64 KiB in 150 ms.
const CYCLES_PER_MS = 125_000;
const PAGE = 256;
const PAGE_CYCLES = 0.4 * CYCLES_PER_MS;
const SECTOR = 4096;
const SECTOR_CYCLES = 45 * CYCLES_PER_MS;
const BLOCK_CYCLES = 150 * CYCLES_PER_MS;

const scratch = new DataView(new ArrayBuffer(8));

// Numbers in registers: how many each takes, and how it gets in and out.
const float = {
  registers: 1,
  cycles: FLOAT_CYCLES,
  read(cpu, at = 0) {
    scratch.setUint32(0, cpu.registers[at]);
    return scratch.getFloat32(0);
  },
  write(cpu, value) {
    scratch.setFloat32(0, value);
    cpu.registers[0] = scratch.getUint32(0);
  },
};
const double = {
  registers: 2,
  cycles: DOUBLE_CYCLES,
  read(cpu, at = 0) {
    scratch.setUint32(0, cpu.registers[at + 1]);
    scratch.setUint32(4, cpu.registers[at]);
    return scratch.getFloat64(0);
  },
  write(cpu, value) {
    scratch.setFloat64(0, value);
    cpu.registers[1] = scratch.getUint32(0);
    cpu.registers[0] = scratch.getUint32(4);
  },
};

function reverseBits(value) {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) {
    reversed = (reversed << 1) | ((value >>> bit) & 1);
  }
  return reversed;
}

function countOnes(value) {
  let count = 0;
  for (let rest = value >>> 0; rest; rest &= rest - 1) {
    count++;
  }
  return count;
}

/** The largest integer not above `value`, held inside `bits` bits (the ROM's conversions saturate). */
function toInteger(value, bits, signed) {
  const low = signed ? -(2n ** BigInt(bits - 1)) : 0n;
  const high = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  if (Number.isNaN(value)) {
    return 0n;
  }
  if (!Number.isFinite(value)) {
    return value > 0 ? high : low;
  }
  const floor = BigInt(Math.floor(value));
  return floor < low ? low : floor > high ? high : floor;
}

/** Whole blocks of `block` bytes where there are some, sectors for the rest, as the ROM's routine does it. */
function eraseCycles(offset, length, block) {
  let cycles = 0;
  for (let at = offset; at < offset + length; ) {
    const isBlock = block > SECTOR && at % block === 0 && at + block <= offset + length;
    cycles += isBlock ? BLOCK_CYCLES : SECTOR_CYCLES;
    at += isBlock ? block : SECTOR;
  }
  return cycles;
}

/** What the breakpoints do, by the code under which firmware looks the function up. */
function romFunctions(flash, startBootloader, flushCache) {
  const bits = (operation) => (cpu) => {
    cpu.registers[0] = operation(cpu.registers[0]);
    cpu.cycles += BIT_OPERATION_CYCLES;
  };

  function copy(cpu) {
    const [to, from, length] = cpu.registers;
    const words = (to | from) & 3 ? 0 : length >>> 2;
    for (let i = 0; i < words; i++) {
      cpu.writeUint32(to + 4 * i, cpu.readUint32(from + 4 * i));
    }
    for (let i = 4 * words; i < length; i++) {
      cpu.writeUint8(to + i, cpu.readUint8(from + i));
    }
    // Four words by ldmia and stmia take 14 cycles, a single byte 7.
    cpu.cycles += 12 + Math.ceil((words * 14) / 4) + (length - 4 * words) * 7;
  }

  function fill(cpu) {
    const [to, value, length] = cpu.registers;
    for (let i = 0; i < length; i++) {
      cpu.writeUint8(to + i, value & 0xff);
    }
    // Four words by one stmia take 8 cycles.
    cpu.cycles += 16 + Math.ceil(length / 2);
  }

  return {
    MS: fill,
    S4: fill,
    MC: copy,
    C4: copy,
    P3: bits(countOnes),
    R3: bits(reverseBits),
    L3: bits((value) => Math.clz32(value)),
    T3: bits((value) => (value ? 31 - Math.clz32(value & -value) : 32)),
    // The flash chip is always connected.
    IF: () => {},
    EX: () => {},
    FC: flushCache,
    CX: () => {},
    RE: (cpu) => {
      const [offset, length, block] = cpu.registers;
      flash.erase(offset, length);
      cpu.cycles += eraseCycles(offset, length, block);
      flash.endsAt(cpu.cycles);
    },
    RP: (cpu) => {
      const [offset, source, length] = cpu.registers;
      flash.program(offset, Uint8Array.from({ length }, (_, i) => cpu.readUint8(source + i)));
      cpu.cycles += Math.ceil(length / PAGE) * PAGE_CYCLES;
      flash.endsAt(cpu.cycles);
    },
    UB: () => startBootloader(),
  };
}

/** Functions of `number` by their offset in the table that firmware looks up as "SF" or "SD"; both are alike. */
function numberFunctions(number, other) {
  const calculation = (operation, cycles) => (cpu) => {
    number.write(cpu, operation(number.read(cpu), number.read(cpu, number.registers)));
    cpu.cycles += cycles;
  };
  const arithmetic = (operation) => calculation(operation, number.cycles.arithmetic);
  const slow = (operation) => calculation(operation, number.cycles.functions);
  const long = (cpu) => (BigInt(cpu.registers[1]) << 32n) | BigInt(cpu.registers[0]);
  const setLong = (cpu, value) => {
    cpu.registers[0] = Number(BigInt.asUintN(32, value));
    cpu.registers[1] = Number(BigInt.asUintN(32, value >> 32n));
  };
  // The "fix" variants take the number of fraction bits behind the value.
  const toInt = (width, signed, fixed) => (cpu) => {
    const scale = fixed ? 2 ** (cpu.registers[number.registers] | 0) : 1;
    setLong(cpu, toInteger(number.read(cpu) * scale, width, signed));
    cpu.cycles += number.cycles.arithmetic;
  };
  const toInt32 = (signed, fixed) => (cpu) => {
    const r1 = cpu.registers[1];
    toInt(32, signed, fixed)(cpu);
    cpu.registers[1] = r1;
  };
  const fromInt = (read, fractionRegister) => (cpu) => {
    const scale = fractionRegister ? 2 ** (cpu.registers[fractionRegister] | 0) : 1;
    number.write(cpu, Number(read(cpu)) / scale);
    cpu.cycles += number.cycles.arithmetic;
  };
  const signed32 = (cpu) => cpu.registers[0] | 0;
  const unsigned32 = (cpu) => cpu.registers[0];
  const signed64 = (cpu) => BigInt.asIntN(64, long(cpu));

  return {
    0x00: arithmetic((a, b) => a + b),
    0x04: arithmetic((a, b) => a - b),
    0x08: arithmetic((a, b) => a * b),
    0x0c: arithmetic((a, b) => a / b),
    0x18: arithmetic((a) => Math.sqrt(a)),
    0x1c: toInt32(true, false),
    0x20: toInt32(true, true),
    0x24: toInt32(false, false),
    0x28: toInt32(false, true),
    0x2c: fromInt(signed32),
    0x30: fromInt(signed32, 1),
    0x34: fromInt(unsigned32),
    0x38: fromInt(unsigned32, 1),
    0x3c: slow(Math.cos),
    0x40: slow(Math.sin),
    0x44: slow(Math.tan),
    0x4c: slow(Math.exp),
    0x50: slow(Math.log),
    0x58: slow(Math.atan2),
    0x5c: fromInt(signed64),
    0x60: fromInt(signed64, 2),
    0x64: fromInt(long),
    0x68: fromInt(long, 2),
    0x6c: toInt(64, true, false),
    0x70: toInt(64, true, true),
    0x74: toInt(64, false, false),
    0x78: toInt(64, false, true),
    0x7c: (cpu) => {
      other.write(cpu, number.read(cpu));
      cpu.cycles += number.cycles.arithmetic;
    },
  };
}
const NUMBER_TABLE_SIZE = 0x80;

/**
 * The ROM image and what its breakpoints do.
 *
 * @param flash {erase(offset, length), program(offset, bytes), endsAt(cycles)}: the flash chip
 * @param startBootloader called when firmware asks for the USB bootloader (BOOTSEL)
 * @param flushCache called when firmware wants the flash cache emptied
 * @returns {image: Uint32Array, call(number, cpu)}: `call` serves breakpoint `number`
 */
export function buildBootrom(flash, startBootloader, flushCache) {
  const rom = new DataView(new ArrayBuffer(16 * 1024));
  const calls = [];
  let end = FUNCTIONS_START;

  function addFunction(call) {
    const address = end;
    rom.setUint16(address, BKPT | calls.length, true);
    rom.setUint16(address + 2, BX_LR, true);
    calls.push(call);
    end += 4;
    return address | THUMB;
  }

  const functions = Object.entries(romFunctions(flash, startBootloader, flushCache));
  const functionTable = functions.map(([code, call]) => [code, addFunction(call)]);
  const missing = addFunction((cpu) => {
    throw new Error(`firmware called a ROM float function that the emulator lacks, from 0x${cpu.LR.toString(16)}`);
  });
  const numberTable = (made) =>
    Array.from({ length: NUMBER_TABLE_SIZE / 4 }, (_, i) => (made[4 * i] ? addFunction(made[4 * i]) : missing));
  const numberTables = [
    ['SF', numberTable(numberFunctions(float, double))],
    ['SD', numberTable(numberFunctions(double, float))],
  ];

  // r0: table of (code, 16-bit pointer) pairs, r1: code. Zero when it is not there.
  const lookup = addFunction((cpu) => {
    const [table, code] = cpu.registers;
    cpu.registers[0] = 0;
    for (let entry = table; cpu.readUint16(entry); entry += 4) {
      cpu.cycles += 10;
      if (cpu.readUint16(entry) === code) {
        cpu.registers[0] = cpu.readUint16(entry + 2);
        return;
      }
    }
  });

  function addTable(entries) {
    const address = end;
    for (const [code, pointer] of entries) {
      rom.setUint16(end, code.charCodeAt(0) | (code.charCodeAt(1) << 8), true);
      rom.setUint16(end + 2, pointer, true);
      end += 4;
    }
    end += 4; // a zero code ends the table
    return address;
  }

  const dataTable = numberTables.map(([code, pointers]) => {
    end += 4; // the word before the table holds its length in words, two bytes ahead of it
    const address = end;
    rom.setUint8(address - 2, pointers.length);
    for (const pointer of pointers) {
      rom.setUint32(end, pointer, true);
      end += 4;
    }
    return [code, address];
  });

  rom.setUint32(0x00, STACK_TOP, true);
  rom.setUint8(0x10, 'M'.charCodeAt(0));
  rom.setUint8(0x11, 'u'.charCodeAt(0));
  rom.setUint8(0x12, 1);
  rom.setUint8(0x13, VERSION);
  rom.setUint16(0x14, addTable(functionTable), true);
  rom.setUint16(0x16, addTable(dataTable), true);
  rom.setUint16(0x18, lookup, true);

  return {
    image: new Uint32Array(rom.buffer),
    call(number, cpu) {
      if (number >= calls.length) {
        throw new Error(`firmware stopped at breakpoint ${number}, at 0x${(cpu.PC - 2).toString(16)}`);
      }
      calls[number](cpu);
    },
  };
}
