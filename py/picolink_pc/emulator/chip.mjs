// The RP2040 of a Pico, with what the emulator lacks added and its faults mended: boot ROM, flash, UART, USB.

import { RP2040 } from 'rp2040js';

import { buildBootrom } from './bootrom.mjs';
import { CycleClock } from './clock.mjs';
import { CYCLE_COUNTER_ADDRESS, CycleCounter } from './cycle_counter.mjs';
import { raiseTransmitInterruptAfterWrites } from './uart.mjs';
import { UsbSerial } from './usb_serial.mjs';

const FLASH_BASE = 0x10000000;
const WATCHDOG_ADDRESS = 0x40058000;

// The emulator warns of each register that it does not model; firmware touches many of them.
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A chip as it is after power-on, or after a reset for `watchdogReason` (register REASON of its watchdog).
 *
 * @param flash Flash
 * @param stop called with 'reset' (or when the watchdog times out) or 'bootloader' when firmware asks for it; the chip
 *   must not run on
 * @returns {chip, clock, serial}
 */
export function buildChip(flash, stop, watchdogReason = 0) {
  const clock = new CycleClock();
  const chip = new RP2040(clock);
  chip.logger = quiet;
  clock.core = chip.core;

  const bootrom = buildBootrom(flash, () => stop('bootloader'));
  chip.onBreak = (number) => bootrom.call(number, chip.core);
  chip.loadBootrom(bootrom.image);
  chip.flash = flash.bytes;
  chip.flashView = new DataView(chip.flash.buffer);
  chip.flash16 = new Uint16Array(chip.flash.buffer);
  chip.core.PC = FLASH_BASE;

  const watchdog = chip.peripherals[WATCHDOG_ADDRESS >>> 12];
  watchdog.reason = watchdogReason;
  watchdog.onWatchdogTrigger = () => {
    watchdog.alarm.enable = false; // fault of the emulator: an alarm that has come is due again at once, for ever
    stop('reset');
  };
  chip.peripherals[CYCLE_COUNTER_ADDRESS >>> 12] = new CycleCounter(chip, 'cycle counter');
  chip.uart.forEach(raiseTransmitInterruptAfterWrites);
  return { chip, clock, serial: new UsbSerial(chip.usbCtrl) };
}
