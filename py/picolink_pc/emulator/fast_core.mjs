// The common instructions of the CPU, executed faster than the emulator does it, with the same result.
//
// The emulator compares each instruction with one pattern after the other, some forty on average, and asks for each
// memory access which device is at the address. Here one switch decodes, and RAM and flash are read in place.
// Whatever is rare or touches a device is left to the emulator. compare_cores.mjs runs both side by side and compares
// every register after every instruction.

import v8 from 'node:v8';

// More of what the loop at the end calls goes into it than V8 would choose: 1.5 times as fast, after 0.1 s for compiling.
v8.setFlagsFromString('--max-inlined-bytecode-size=2000');
v8.setFlagsFromString('--max-inlined-bytecode-size-cumulative=5000');

const RAM = 0x20000000;
const FLASH = 0x10000000;
const SP = 13;
const LR = 14;
const PC = 15;

/**
 * Returns run(end) for this chip: it executes instructions until the CPU's cycle counter reaches `end`, an alarm of
 * the clock is due, or the CPU sleeps.
 *
 * @param cache FlashCache, or undefined: reading flash takes no longer than RAM
 */
export function fastCore(chip, clock, cache) {
  const { core } = chip;
  const r = new Int32Array(core.registers.buffer);
  const ram8 = chip.sram;
  const ram16 = new Uint16Array(ram8.buffer);
  const ram32 = new Int32Array(ram8.buffer);
  const flash8 = chip.flash;
  const flash16 = new Uint16Array(flash8.buffer);
  const flash32 = new Int32Array(flash8.buffer);
  const ramSize = ram8.length;
  const flashSize = flash8.length;
  let cycles = 0; // of the instruction that is being executed
  let waited = 0; // for the flash, meanwhile
  let spent = 0; // of the instructions before it that core.cycles does not count yet
  let leftToEmulator = false; // a device or a rare instruction: alarms, interrupts and sleep may have changed

  function wait(inFlash) {
    if (cache !== undefined) {
      waited += cache.read(inFlash);
    }
  }

  /** To be called before anything of the emulator's: it reads time off core.cycles. */
  function leaveToEmulator() {
    core.cycles += spent;
    spent = 0;
    leftToEmulator = true;
  }

  function fetch(address) {
    const inFlash = (address - FLASH) >>> 0;
    if (inFlash < flashSize) {
      wait(inFlash);
      return flash16[inFlash >>> 1];
    }
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize) {
      return ram16[inRam >>> 1];
    }
    leaveToEmulator();
    return core.readUint16(address >>> 0);
  }

  function load32(address) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize && !(inRam & 3)) {
      cycles += 1;
      return ram32[inRam >>> 2];
    }
    const inFlash = (address - FLASH) >>> 0;
    if (inFlash < flashSize && !(inFlash & 3)) {
      cycles += 1;
      wait(inFlash);
      return flash32[inFlash >>> 2];
    }
    leaveToEmulator();
    cycles += core.cyclesIO(address);
    return core.readUint32(address >>> 0) | 0;
  }

  function load16(address) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize && !(inRam & 1)) {
      cycles += 1;
      return ram16[inRam >>> 1];
    }
    const inFlash = (address - FLASH) >>> 0;
    if (inFlash < flashSize && !(inFlash & 1)) {
      cycles += 1;
      wait(inFlash);
      return flash16[inFlash >>> 1];
    }
    leaveToEmulator();
    cycles += core.cyclesIO(address);
    return core.readUint16(address >>> 0);
  }

  function load8(address) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize) {
      cycles += 1;
      return ram8[inRam];
    }
    const inFlash = (address - FLASH) >>> 0;
    if (inFlash < flashSize) {
      cycles += 1;
      wait(inFlash);
      return flash8[inFlash];
    }
    leaveToEmulator();
    cycles += core.cyclesIO(address);
    return core.readUint8(address >>> 0);
  }

  function store32(address, value) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize && !(inRam & 3)) {
      cycles += 1;
      ram32[inRam >>> 2] = value;
    } else {
      leaveToEmulator();
      cycles += core.cyclesIO(address, true);
      core.writeUint32(address >>> 0, value >>> 0);
    }
  }

  function store16(address, value) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize && !(inRam & 1)) {
      cycles += 1;
      ram16[inRam >>> 1] = value;
    } else {
      leaveToEmulator();
      cycles += core.cyclesIO(address, true);
      core.writeUint16(address >>> 0, value >>> 0);
    }
  }

  function store8(address, value) {
    const inRam = (address - RAM) >>> 0;
    if (inRam < ramSize) {
      cycles += 1;
      ram8[inRam] = value;
    } else {
      leaveToEmulator();
      cycles += core.cyclesIO(address, true);
      core.writeUint8(address >>> 0, value >>> 0);
    }
  }

  function setNZ(result) {
    core.N = result < 0;
    core.Z = result === 0;
    return result;
  }

  function add(a, b) {
    const result = (a + b) | 0;
    core.C = result >>> 0 < a >>> 0;
    core.V = ((a ^ result) & (b ^ result)) < 0;
    return setNZ(result);
  }

  function subtract(a, b) {
    const result = (a - b) | 0;
    core.C = a >>> 0 >= b >>> 0;
    core.V = ((a ^ b) & (a ^ result)) < 0;
    return setNZ(result);
  }

  function branchOrReturn(target) {
    if (target >>> 28 === 0xf) {
      leaveToEmulator(); // from an interrupt
      core.BXWritePC(target >>> 0);
    } else {
      r[PC] = target & ~1;
    }
  }

  /** Executes one instruction that begins with `opcode`, with PC already behind it. False: not one of ours. */
  function execute(opcode) {
    const low = opcode & 7;
    const middle = (opcode >>> 3) & 7;
    const high = (opcode >>> 8) & 7;
    const imm5 = (opcode >>> 6) & 31;
    const imm8 = opcode & 0xff;
    switch (opcode >>> 11) {
      case 0b00000: {
        const input = r[middle];
        if (imm5) {
          core.C = ((input >>> (32 - imm5)) & 1) === 1;
        }
        r[low] = setNZ(input << imm5);
        return true;
      }
      case 0b00001: {
        const input = r[middle];
        core.C = ((input >>> (imm5 ? imm5 - 1 : 31)) & 1) === 1;
        r[low] = setNZ(imm5 ? (input >>> imm5) | 0 : 0);
        return true;
      }
      case 0b00010: {
        const input = r[middle];
        core.C = ((input >>> (imm5 ? imm5 - 1 : 31)) & 1) === 1;
        r[low] = setNZ(input >> (imm5 || 31));
        return true;
      }
      case 0b00011: {
        const operand = opcode & 0x400 ? (opcode >>> 6) & 7 : r[(opcode >>> 6) & 7];
        r[low] = opcode & 0x200 ? subtract(r[middle], operand) : add(r[middle], operand);
        return true;
      }
      case 0b00100:
        r[high] = setNZ(imm8);
        return true;
      case 0b00101:
        subtract(r[high], imm8);
        return true;
      case 0b00110:
        r[high] = add(r[high], imm8);
        return true;
      case 0b00111:
        r[high] = subtract(r[high], imm8);
        return true;
      case 0b01000:
        return executeRegisters(opcode, low, middle);
      case 0b01001:
        r[high] = load32(((r[PC] + 2) & ~3) + (imm8 << 2));
        return true;
      case 0b01010:
        executeStoreOrSigned(opcode, low, (r[(opcode >>> 6) & 7] + r[middle]) | 0);
        return true;
      case 0b01011:
        executeLoad(opcode, low, (r[(opcode >>> 6) & 7] + r[middle]) | 0);
        return true;
      case 0b01100:
        store32((r[middle] + (imm5 << 2)) | 0, r[low]);
        return true;
      case 0b01101:
        r[low] = load32((r[middle] + (imm5 << 2)) | 0);
        return true;
      case 0b01110:
        store8((r[middle] + imm5) | 0, r[low]);
        return true;
      case 0b01111:
        r[low] = load8((r[middle] + imm5) | 0);
        return true;
      case 0b10000:
        store16((r[middle] + (imm5 << 1)) | 0, r[low]);
        return true;
      case 0b10001:
        r[low] = load16((r[middle] + (imm5 << 1)) | 0);
        return true;
      case 0b10010:
        store32((r[SP] + (imm8 << 2)) | 0, r[high]);
        return true;
      case 0b10011:
        r[high] = load32((r[SP] + (imm8 << 2)) | 0);
        return true;
      case 0b10100:
        r[high] = ((r[PC] - 2) & ~3) + 4 + (imm8 << 2);
        return true;
      case 0b10101:
        r[high] = r[SP] + (imm8 << 2);
        return true;
      case 0b10110:
        return executeMiscellaneous(opcode, low, middle);
      case 0b10111:
        if ((opcode & 0x600) === 0x400) {
          pop(opcode);
          return true;
        }
        return false;
      case 0b11000:
      case 0b11001:
        moveMultiple(opcode, high);
        return true;
      case 0b11010:
      case 0b11011:
        return executeConditionalBranch(opcode);
      case 0b11100:
        r[PC] += ((opcode << 21) >> 20) + 2;
        cycles += 1;
        return true;
      case 0b11110: {
        const second = fetch(r[PC]);
        if ((second & 0xd000) !== 0xd000) {
          return false;
        }
        const sign = (opcode << 21) >> 31;
        const i1 = ~((second >>> 13) ^ sign) & 1;
        const i2 = ~((second >>> 11) ^ sign) & 1;
        const offset =
          (sign << 24) | (i1 << 23) | (i2 << 22) | ((opcode & 0x3ff) << 12) | ((second & 0x7ff) << 1);
        r[LR] = (r[PC] + 2) | 1;
        r[PC] += 2 + offset;
        cycles += 2;
        return true;
      }
      default:
        return false;
    }
  }

  function executeRegisters(opcode, low, middle) {
    switch ((opcode >>> 6) & 31) {
      case 0b00000:
        r[low] = setNZ(r[low] & r[middle]);
        return true;
      case 0b00001:
        r[low] = setNZ(r[low] ^ r[middle]);
        return true;
      case 0b01000:
        setNZ(r[low] & r[middle]);
        return true;
      case 0b01001:
        r[low] = subtract(0, r[middle]);
        return true;
      case 0b01010:
        subtract(r[low], r[middle]);
        return true;
      case 0b01011:
        add(r[low], r[middle]);
        return true;
      case 0b01100:
        r[low] = setNZ(r[low] | r[middle]);
        return true;
      case 0b01101:
        r[low] = setNZ(Math.imul(r[low], r[middle]));
        return true;
      case 0b01110:
        r[low] = setNZ(r[low] & ~r[middle]);
        return true;
      case 0b01111:
        r[low] = setNZ(~r[middle]);
        return true;
      case 0b10100:
      case 0b10101:
      case 0b10110:
      case 0b10111:
        subtract(r[((opcode >>> 4) & 8) | low], r[(opcode >>> 3) & 15]);
        return true;
      case 0b10000:
      case 0b10001:
      case 0b10010:
      case 0b10011:
      case 0b11000:
      case 0b11001:
      case 0b11010:
      case 0b11011: {
        const from = (opcode >>> 3) & 15;
        const to = ((opcode >>> 4) & 8) | low;
        if (from === PC || to === SP || to === PC) {
          return false;
        }
        r[to] = opcode & 0x200 ? r[from] : r[to] + r[from];
        return true;
      }
      case 0b11100:
      case 0b11101: {
        const from = (opcode >>> 3) & 15;
        if (low !== 0 || from === PC) {
          return false;
        }
        branchOrReturn(r[from]);
        cycles += 1;
        return true;
      }
      case 0b11110:
      case 0b11111: {
        const from = (opcode >>> 3) & 15;
        if (low !== 0 || from >= SP) {
          return false;
        }
        r[LR] = r[PC] | 1;
        r[PC] = r[from] & ~1;
        cycles += 1;
        return true;
      }
      default:
        return false; // shifts by a register, additions with carry
    }
  }

  function executeStoreOrSigned(opcode, low, address) {
    switch ((opcode >>> 9) & 3) {
      case 0:
        store32(address, r[low]);
        break;
      case 1:
        store16(address, r[low]);
        break;
      case 2:
        store8(address, r[low]);
        break;
      default:
        r[low] = (load8(address) << 24) >> 24;
    }
  }

  function executeLoad(opcode, low, address) {
    switch ((opcode >>> 9) & 3) {
      case 0:
        r[low] = load32(address);
        break;
      case 1:
        r[low] = load16(address);
        break;
      case 2:
        r[low] = load8(address);
        break;
      default:
        r[low] = (load16(address) << 16) >> 16;
    }
  }

  function executeMiscellaneous(opcode, low, middle) {
    switch ((opcode >>> 6) & 31) {
      case 0b00000:
      case 0b00001:
        r[SP] += (opcode & 0x7f) << 2;
        return true;
      case 0b00010:
      case 0b00011:
        r[SP] -= (opcode & 0x7f) << 2;
        return true;
      case 0b01000:
        r[low] = (r[middle] << 16) >> 16;
        return true;
      case 0b01001:
        r[low] = (r[middle] << 24) >> 24;
        return true;
      case 0b01010:
        r[low] = r[middle] & 0xffff;
        return true;
      case 0b01011:
        r[low] = r[middle] & 0xff;
        return true;
      default:
        if ((opcode & 0x600) === 0x400) {
          push(opcode);
          return true;
        }
        return false;
    }
  }

  function push(opcode) {
    let address = r[SP];
    let count = 0;
    if (opcode & 0x100) {
      address -= 4;
      store32(address, r[LR]);
    }
    for (let i = 7; i >= 0; i--) {
      if (opcode & (1 << i)) {
        address -= 4;
        store32(address, r[i]);
        count += 1;
      }
    }
    r[SP] = address;
    cycles = 1 + count;
  }

  function pop(opcode) {
    let address = r[SP];
    let count = 0;
    for (let i = 0; i < 8; i++) {
      if (opcode & (1 << i)) {
        r[i] = load32(address);
        address += 4;
        count += 1;
      }
    }
    if (opcode & 0x100) {
      const target = load32(address);
      r[SP] = address + 4;
      branchOrReturn(target);
      count += 2;
    } else {
      r[SP] = address;
    }
    cycles = 1 + count;
  }

  function moveMultiple(opcode, base) {
    const isLoad = (opcode & 0x800) !== 0;
    let address = r[base];
    let count = 0;
    for (let i = 0; i < 8; i++) {
      if (opcode & (1 << i)) {
        if (isLoad) {
          r[i] = load32(address);
        } else {
          store32(address, r[i]);
        }
        address = (address + 4) | 0;
        count += 1;
      }
    }
    if (!(opcode & (1 << base))) {
      r[base] = address;
    }
    cycles = 1 + count;
  }

  function executeConditionalBranch(opcode) {
    let taken;
    switch ((opcode >>> 9) & 7) {
      case 0:
        taken = core.Z;
        break;
      case 1:
        taken = core.C;
        break;
      case 2:
        taken = core.N;
        break;
      case 3:
        taken = core.V;
        break;
      case 4:
        taken = core.C && !core.Z;
        break;
      case 5:
        taken = core.N === core.V;
        break;
      case 6:
        taken = core.N === core.V && !core.Z;
        break;
      default:
        return false; // not a branch
    }
    if (taken !== ((opcode & 0x100) !== 0)) {
      r[PC] += ((opcode << 24) >> 23) + 2;
      cycles += 1;
    }
    return true;
  }

  return function run(end) {
    while (core.cycles < end && core.cycles < clock.dueCycles && !core.waiting) {
      if (core.interruptsUpdated) {
        core.executeInstruction();
        continue;
      }
      const budget = Math.min(end, clock.dueCycles) - core.cycles;
      leftToEmulator = false;
      while (!leftToEmulator && spent < budget) {
        const pc = r[PC];
        const opcode = fetch(pc);
        r[PC] = pc + 2;
        cycles = 1;
        if (!execute(opcode)) {
          r[PC] = pc;
          leaveToEmulator();
          core.executeInstruction();
          cycles = 0;
        }
        spent += cycles + waited;
        waited = 0;
      }
      core.cycles += spent;
      spent = 0;
    }
  };
}
