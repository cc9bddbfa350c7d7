// Fault of the emulator: a UART's transmit interrupt is pending all the time, so firmware that enables it never
// leaves the handler. On the chip it rises when the transmit FIFO drains, which here is at once after a write.

const DATA_REGISTER = 0x00;
const TRANSMIT_INTERRUPT = 1 << 5;

export function raiseTransmitInterruptAfterWrites(uart) {
  const write = uart.writeUint32;

  uart.checkInterrupts = () => {
    uart.rp2040.setInterrupt(uart.irq, Boolean(uart.interruptStatus & uart.interruptMask));
  };

  uart.writeUint32 = (offset, value) => {
    write.call(uart, offset, value);
    if (offset === DATA_REGISTER) {
      uart.interruptStatus |= TRANSMIT_INTERRUPT;
      uart.checkInterrupts();
    }
  };
}
