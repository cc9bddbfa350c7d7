// node compare_cores.mjs FIRMWARE.uf2 INSTRUCTIONS < PROGRAM: two chips run the same firmware and program, one on the
// emulator's own CPU, one on fast_core.mjs, one instruction at a time. Stops at the first difference, exit status 1.

import fs from 'node:fs';

import { buildChip } from './chip.mjs';
import { fastCore } from './fast_core.mjs';
import { Flash } from './flash.mjs';
import { readUf2 } from './uf2.mjs';

const RAW_REPL = '\x03\x01';
const END_OF_PROGRAM = '\x04';

const [firmware, instructions] = process.argv.slice(2);
const program = fs.readFileSync(0, 'latin1');

function start(makeStep) {
  const flash = new Flash();
  readUf2(fs.readFileSync(firmware)).forEach(({ offset, data }) => flash.load(offset, data));
  const { chip, clock, serial } = buildChip(flash, (reason) => {
    throw new Error(`the firmware stopped: ${reason}`);
  });
  const { core } = chip;
  const output = [];
  serial.setOpen(true);
  serial.onSerialData = (bytes) => output.push(Buffer.from(bytes));
  serial.onDeviceConnected = () => serial.write(Buffer.from(RAW_REPL + program + END_OF_PROGRAM, 'latin1'));
  const execute = makeStep(chip, clock);
  function step() {
    if (core.waiting) {
      clock.sleep(Math.min(clock.nanosToNextAlarm, 1e9));
    } else {
      execute();
    }
    clock.fireDueAlarms();
  }
  return { core, chip, output, step };
}

const slow = start(({ core }) => () => core.executeInstruction());
const fast = start((chip, clock) => {
  const run = fastCore(chip, clock);
  return () => run(chip.core.cycles + 1);
});

function state({ core }) {
  const { N, Z, C, V, PM, cycles, waiting } = core;
  return JSON.stringify([...core.registers, N, Z, C, V, PM, cycles, waiting].map(Number));
}

function isSame() {
  const [a, b] = [slow.core, fast.core];
  for (let i = 0; i < 16; i++) {
    if (a.registers[i] !== b.registers[i]) {
      return false;
    }
  }
  return a.cycles === b.cycles && a.N === b.N && a.Z === b.Z && a.C === b.C && a.V === b.V;
}

for (let i = 0; i < Number(instructions); i++) {
  const pc = slow.core.PC;
  slow.step();
  fast.step();
  if (!isSame()) {
    console.error(`instruction ${i}, at 0x${pc.toString(16)}:\n${state(slow)}\n${state(fast)}`);
    process.exit(1);
  }
}
if (Buffer.compare(slow.chip.sram, fast.chip.sram)) {
  console.error('the contents of RAM differ');
  process.exit(1);
}
process.stdout.write(Buffer.concat(fast.output));
