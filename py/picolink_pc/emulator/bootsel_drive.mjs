// The drive that a Pico shows while its USB bootloader runs (RPI-RP2), as a folder.

import fs from 'node:fs';
import path from 'node:path';

const FILES = {
  'INFO_UF2.TXT': 'UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n',
};
const POLL_MS = 100;

export class BootselDrive {
  constructor(folder) {
    this.folder = folder;
  }

  /** Shows the drive until a whole UF2 file for this chip was copied to it and `program(file)` took it. */
  async receive(program) {
    fs.mkdirSync(this.folder, { recursive: true });
    for (const [name, text] of Object.entries(FILES)) {
      fs.writeFileSync(path.join(this.folder, name), text);
    }
    while (!this.#take(program)) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    // The drive disappears.
    for (const name of fs.readdirSync(this.folder)) {
      fs.rmSync(path.join(this.folder, name), { recursive: true });
    }
  }

  #take(program) {
    for (const name of fs.readdirSync(this.folder)) {
      if (name.toLowerCase().endsWith('.uf2')) {
        try {
          program(fs.readFileSync(path.join(this.folder, name)));
          return true;
        } catch {
          // Not whole yet, damaged, or for another chip: the bootloader goes on waiting.
        }
      }
    }
    return false;
  }
}
