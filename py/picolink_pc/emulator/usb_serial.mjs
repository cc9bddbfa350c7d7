// The host's end of the board's USB serial port.
//
// Fault of the emulator: its host answers every read of the board at once, with an empty packet when it has nothing
// to say; the board asks again, 35,000 times a second, and spends its time in the USB interrupt. On a real bus the
// host stays silent, so here a read waits until there are bytes.

import { USBCDC } from 'rp2040js';

const DTR = 1;
const RTS = 2;

export class UsbSerial extends USBCDC {
  constructor(usbController) {
    super(usbController);
    this.open = false;
    this.toBoard = []; // Uint8Arrays not taken yet
    this.waitingRead = 0; // size of the board's read that has no answer yet
    usbController.onEndpointRead = (endpoint, size) => {
      if (endpoint === this.outEndpoint) {
        this.waitingRead = size;
        this.#answerRead();
      }
    };
  }

  write(bytes) {
    this.toBoard.push(bytes);
    this.#answerRead();
  }

  /** Opens or closes the port, as the board sees it: it keeps no output for a port that nobody has open. */
  setOpen(open) {
    this.open = open;
    if (open) {
      this.toBoard = []; // what was written before the port was closed has time to arrive
    }
    if (this.initialized) {
      this.cdcSetControlLineState();
    }
  }

  /** Also called by the base class, with no argument, at the end of the enumeration. */
  cdcSetControlLineState() {
    super.cdcSetControlLineState(this.open ? DTR | RTS : 0);
  }

  #answerRead() {
    const [first] = this.toBoard;
    if (!this.waitingRead || !first) {
      return;
    }
    const packet = first.subarray(0, this.waitingRead);
    if (packet.length === first.length) {
      this.toBoard.shift();
    } else {
      this.toBoard[0] = first.subarray(packet.length);
    }
    this.waitingRead = 0;
    this.usb.endpointReadDone(this.outEndpoint, packet);
  }
}
