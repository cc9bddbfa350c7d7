// UF2 files (github.com/microsoft/uf2): 512-byte blocks, each with an address and up to 476 bytes.

import { FLASH_SIZE } from './flash.mjs';

const BLOCK_SIZE = 512;
const MAGICS = [
  [0, 0x0a324655],
  [4, 0x9e5d5157],
  [508, 0x0ab16f30],
];
const FAMILY_ID_PRESENT = 0x2000;
const RP2040_FAMILY = 0xe48bff56;
const FLASH_BASE = 0x10000000;

/**
 * The flash contents that a UF2 file for the RP2040 asks for.
 *
 * Like the chip's bootloader it takes a file only when every block that the blocks announce is there.
 * @returns [{offset, data}], offsets from the start of flash. Throws an Error that says what is wrong.
 */
export function readUf2(file) {
  if (file.length === 0 || file.length % BLOCK_SIZE) {
    throw new Error(`not a whole UF2 file: ${file.length} bytes are not a multiple of ${BLOCK_SIZE}`);
  }
  const parts = [];
  const seen = new Set();
  let announced = 0;
  for (let start = 0; start < file.length; start += BLOCK_SIZE) {
    const block = new DataView(file.buffer, file.byteOffset + start, BLOCK_SIZE);
    const word = (position) => block.getUint32(position, true);
    const name = `block ${start / BLOCK_SIZE}`;
    if (MAGICS.some(([position, magic]) => word(position) !== magic)) {
      throw new Error(`${name} is not a UF2 block`);
    }
    if (!(word(8) & FAMILY_ID_PRESENT) || word(28) !== RP2040_FAMILY) {
      throw new Error(`${name} is for another chip than the RP2040`);
    }
    const offset = word(12) - FLASH_BASE;
    const length = word(16);
    if (offset < 0 || length > 476 || offset + length > FLASH_SIZE) {
      throw new Error(`${name} does not fit into flash (address 0x${word(12).toString(16)})`);
    }
    seen.add(word(20));
    announced = word(24);
    parts.push({ offset, data: file.subarray(start + 32, start + 32 + length) });
  }
  if (seen.size !== announced) {
    throw new Error(`${announced - seen.size} of ${announced} blocks are missing`);
  }
  return parts;
}
