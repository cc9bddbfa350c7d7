// The emulated Pico as a program: `node main.mjs FIRMWARE.uf2 [--flash FILE] [--drive FOLDER] [--sample CYCLES]`.
//
// Its USB serial port is a TCP port on loopback, for one client at a time. What happens is told on standard output,
// one JSON object a line: {"event": "listening", "ports": [n]}, {"event": "serial"}, {"event": "reset"},
// {"event": "bootloader"}, and at the end, with --sample, {"event": "samples", "samples": ...}: see profiler.mjs.
// It ends when standard input is closed, so it never outlives the program that started it.

import fs from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';

import { Board } from './board.mjs';
import { BootselDrive } from './bootsel_drive.mjs';
import { Flash } from './flash.mjs';
import { readUf2 } from './uf2.mjs';

const WATCHDOG_FORCED = 2; // reason of a reset that firmware asked for

function tell(event, details = {}, written = undefined) {
  process.stdout.write(JSON.stringify({ event, ...details }) + '\n', written);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    flash: { type: 'string' }, // file that keeps the flash contents
    drive: { type: 'string' }, // folder that stands for the RPI-RP2 drive of the bootloader
    sample: { type: 'string' }, // cycles from one sample of the CPU to the next; none without it
    functions: { type: 'string' }, // addresses of the types of Python's functions, with commas
  },
});

const flash = new Flash(values.flash);
function program(file) {
  readUf2(file).forEach(({ offset, data }) => flash.load(offset, data));
}
try {
  program(fs.readFileSync(positionals[0]));
} catch (error) {
  console.error(`${positionals[0]}: ${error.message}`);
  process.exit(1);
}

const board = new Board(flash, {
  sampleCycles: Number(values.sample ?? 0),
  functionTypes: (values.functions ?? '').split(',').map(Number),
});
let client;

board.on('serial', () => tell('serial'));
board.on('output', (bytes) => {
  if (client && !client.write(bytes)) {
    board.hold(); // until the client has read what is waiting
  }
});
function disconnectClient() {
  client?.destroy();
  client = undefined;
  board.setSerialOpen(false);
}
// Both take the USB port away from whoever has it open.
board.on('reset', () => {
  tell('reset');
  disconnectClient();
  board.boot(WATCHDOG_FORCED);
});
board.on('bootloader', async () => {
  tell('bootloader');
  disconnectClient();
  if (values.drive) {
    await new BootselDrive(values.drive).receive(program);
  }
  board.boot();
});

// As a serial port: one client at a time. The end of one that has just left may be in the same turn of the event loop
// as the next one, after it: it is waited for.
const SHORT_WHILE_TURNS = 20;
function connect(socket, turns = SHORT_WHILE_TURNS) {
  if (client && turns > 0) {
    setImmediate(() => connect(socket, turns - 1));
    return;
  }
  if (client || socket.destroyed) {
    socket.destroy();
    return;
  }
  client = socket;
  socket.setNoDelay(true);
  board.setSerialOpen(true);
  socket.on('data', (bytes) => board.write(bytes));
  socket.on('drain', () => board.release());
  socket.on('close', () => {
    if (client === socket) {
      disconnectClient();
    }
    board.release();
  });
}

const server = net.createServer((socket) => {
  socket.on('error', () => {}); // 'close' follows
  connect(socket);
});
server.listen(0, '127.0.0.1', () => {
  tell('listening', { ports: [server.address().port] });
  board.boot();
});

process.stdin.on('end', () => {
  const leave = () => process.exit(0);
  if (board.profiler) {
    board.hold();
    tell('samples', { samples: board.profiler.samples }, leave);
  } else {
    leave();
  }
});
process.stdin.resume();
