// The second core, which is not there: said when firmware wants to start it.

// Registers of the SIO, which the emulator has not: state of the FIFO between the cores, a word from the other one.
const FIFO_ST = 0x50;
const FIFO_RD = 0x58;
const ALL_SET = 0xffffffff; // as the emulator answers for them
const MANY = 64;
const SOON = 200; // cycles

/**
 * Ends the emulator with a message when a program on `chip` starts its second core.
 *
 * The FIFO's state says that there is always something to read. A soft reset reads once. Who starts the second core first reads until nothing is left: that never ends.
 */
export function refuseSecondCore({ sio, core }) {
  const { readUint32 } = sio;
  let reads = 0;
  let last = 0;
  sio.readUint32 = (offset) => {
    if (offset === FIFO_RD) {
      reads = core.cycles - last < SOON ? reads + 1 : 0;
      last = core.cycles;
      if (reads > MANY) {
        console.error('the program starts the second core (_thread): the emulated RP2040 has one core only');
        process.exit(1);
      }
    }
    if (offset === FIFO_RD || offset === FIFO_ST) {
      return ALL_SET; // without the emulator's warning
    }
    return readUint32.call(sio, offset);
  };
}
