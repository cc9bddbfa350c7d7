// Commands that firmware sends to the flash chip itself, past the boot ROM: it selects the chip by hand and passes
// bytes both ways. Fault of the emulator: nothing answers, so that every board has the same unique number.
//
// A Pico's flash is a Winbond W25Q16JV; its data sheet has the commands (8.1.2).

import { BasePeripheral } from 'rp2040js';

const SSI_ADDRESS = 0x18000000;
const IO_QSPI_ADDRESS = 0x40018000;

const STATUS = 0x28; // registers of the serial interface
const DATA = 0x60;
const STATUS_NOT_FULL = 0x2;
const STATUS_EMPTY = 0x4;
const STATUS_HAS_DATA = 0x8;

const SELECT_CONTROL = 0x0c; // of the pins: what the select pin is forced to
const FORCE_SHIFT = 8;
const FORCE_MASK = 3;
const FORCE_LOW = 2;

const UNIQUE_ID = 0x4b;
const UNIQUE_ID_DUMMIES = 4;
const JEDEC_ID = 0x9f;
const W25Q16JV = [0xef, 0x40, 0x15];

/** The flash chip at the other end. */
class FlashCommands {
  #answers = []; // bytes that the firmware has not read
  #answer = []; // to the command, from the first byte behind it
  #position = 0;

  constructor(uniqueId) {
    this.uniqueId = uniqueId;
    this.selected = false;
  }

  select(selected) {
    if (selected && !this.selected) {
      this.#position = 0;
      this.#answers = [];
    }
    this.selected = selected;
  }

  write(byte) {
    if (this.#position === 0) {
      this.#answer = this.#answerTo(byte);
      this.#answers.push(0);
    } else {
      this.#answers.push(this.#answer[this.#position - 1] ?? 0);
    }
    this.#position += 1;
  }

  get hasData() {
    return this.#answers.length > 0;
  }

  read() {
    return this.#answers.shift() ?? 0;
  }

  #answerTo(command) {
    if (command === UNIQUE_ID) {
      return [...Array(UNIQUE_ID_DUMMIES).fill(0), ...this.uniqueId];
    }
    return command === JEDEC_ID ? W25Q16JV : [];
  }
}

/** Puts the flash chip behind the emulator's serial interface while firmware has selected it. */
function connectSerialInterface(ssi, commands) {
  const read = ssi.readUint32.bind(ssi);
  const write = ssi.writeUint32.bind(ssi);
  ssi.readUint32 = (offset) => {
    if (commands.selected && offset === STATUS) {
      return STATUS_NOT_FULL | STATUS_EMPTY | (commands.hasData ? STATUS_HAS_DATA : 0);
    }
    return commands.selected && offset === DATA ? commands.read() : read(offset);
  };
  ssi.writeUint32 = (offset, value) => {
    if (commands.selected && offset === DATA) {
      commands.write(value & 0xff);
    } else {
      write(offset, value);
    }
  };
}

class Pins extends BasePeripheral {
  #registers = new Map();

  constructor(chip, name, commands) {
    super(chip, name);
    this.commands = commands;
  }

  readUint32(offset) {
    return this.#registers.get(offset) ?? 0;
  }

  writeUint32(offset, value) {
    this.#registers.set(offset, value >>> 0);
    if (offset === SELECT_CONTROL) {
      this.commands.select(((value >>> FORCE_SHIFT) & FORCE_MASK) === FORCE_LOW);
    }
  }
}

/** @param uniqueId 8 bytes: what machine.unique_id() of MicroPython gives */
export function answerFlashCommands(chip, uniqueId) {
  const commands = new FlashCommands(uniqueId);
  connectSerialInterface(chip.peripherals[SSI_ADDRESS >>> 12], commands);
  chip.peripherals[IO_QSPI_ADDRESS >>> 12] = new Pins(chip, 'IO_QSPI', commands);
}
