// An emulated Pico W as a process in somebody else's time: `node lockstep.mjs OPTIONS`, OPTIONS being JSON:
//
//     {"firmware": path, "flash": path or null, "mac": [6 bytes], "uniqueId": [8 bytes], "seed": n, "radio": true,
//      "missCycles": n, "sampleCycles": n}
//
// Standard input has one JSON array a line: things to do, then ["run", to]. Each run is answered by one line. All times
// are nanoseconds of virtual time. It ends with standard input.
//
//     ["on", time] ["off", time] ["freeze", time] ["thaw", time] ["open", time, bool]
//     ["hci", time, hex] ["write", time, text]          text: a character for each byte
//     -> {"now": t, "idleUntil": t or null, "happened": [[t, what, detail]...], "cycles": n, "slept": n, "misses": n,
//         "backlog": n, "samples": [address...]}

import fs from 'node:fs';
import readline from 'node:readline';

import { Flash } from './flash.mjs';
import { LockstepBoard } from './lockstep_board.mjs';
import { readUf2 } from './uf2.mjs';

const options = JSON.parse(process.argv[2]);
const flash = new Flash(options.flash ?? undefined);
try {
  readUf2(fs.readFileSync(options.firmware)).forEach(({ offset, data }) => flash.load(offset, data));
} catch (error) {
  console.error(`${options.firmware}: ${error.message}`);
  process.exit(1);
}
const board = new LockstepBoard(flash, options);

const ACTIONS = {
  on: (time) => {
    board.run(time);
    board.powerOn();
  },
  off: (time) => {
    board.run(time);
    board.powerOff(time);
  },
  freeze: (time) => {
    board.run(time);
    board.frozen = true;
  },
  thaw: (time) => {
    board.run(time);
    board.frozen = false;
  },
  open: (time, open) => {
    board.run(time);
    board.setOpen(open);
  },
  hci: (time, hex) => board.at(time, () => board.sendHci(Uint8Array.from(Buffer.from(hex, 'hex')))),
  write: (time, text) => board.at(time, () => board.write(Uint8Array.from(Buffer.from(text, 'latin1')))),
  run: (to) => {
    board.run(to);
    const answer = {
      now: board.time,
      idleUntil: Number.isFinite(board.idleUntil) ? board.idleUntil : null,
      happened: board.happened.map(([time, what, detail]) => [time, what, plain(what, detail)]),
      ...board.counts,
      backlog: board.backlog,
      samples: board.samples,
    };
    board.happened = [];
    board.samples = [];
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  },
};

function plain(what, detail) {
  if (what === 'hci') {
    return Buffer.from(detail).toString('hex');
  }
  return what === 'output' ? Buffer.from(detail).toString('latin1') : detail;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  for (const [action, ...details] of JSON.parse(line)) {
    ACTIONS[action](...details);
  }
});
