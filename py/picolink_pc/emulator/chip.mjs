// The RP2040 of a Pico, with what the emulator lacks added and its faults mended: boot ROM, flash, UART, USB.

import { RP2040 } from 'rp2040js';

import { buildBootrom } from './bootrom.mjs';
import { CycleClock } from './clock.mjs';
import { CYCLE_COUNTER_ADDRESS, CycleCounter } from './cycle_counter.mjs';
import { fastCore } from './fast_core.mjs';
import { FlashCache } from './flash_cache.mjs';
import { answerFlashCommands } from './flash_commands.mjs';
import { emptyFifosWhenJoined, runOnClock } from './pio.mjs';
import { RING_OSCILLATOR_ADDRESS, RingOscillator } from './random.mjs';
import { refuseSecondCore } from './second_core.mjs';
import { raiseTransmitInterruptAfterWrites } from './uart.mjs';
import { UsbSerial } from './usb_serial.mjs';

const FLASH_BASE = 0x10000000;
const WATCHDOG_ADDRESS = 0x40058000;

// The emulator warns of each register that it does not model; firmware touches many of them.
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const UNIQUE_ID = [0xe6, 0x61, 0, 0, 0, 0, 0, 0]; // how those of real boards begin

/**
 * A chip as it is after power-on, or after a reset.
 *
 * @param flash Flash
 * @param stop called with 'reset' (or when the watchdog times out) or 'bootloader' when firmware asks for it; the chip
 *   must not run on
 * @param watchdogReason register REASON of its watchdog: why it was reset
 * @param seed of its random bits
 * @param uniqueId of its flash chip, 8 bytes
 * @param missCycles what a miss of the flash cache costs the CPU; 0: the cache is not modelled
 * @param since nanoseconds: when it is switched on, in the time of its room
 * @returns {chip, clock, serial, takenOver, cache, execute}: `takenOver` is a set for PIO machines whose work somebody
 *   else does, `cache` is undefined if it is not modelled, and `execute` is what fastCore returns
 */
export function buildChip(
  flash,
  stop,
  { watchdogReason = 0, seed = 0, uniqueId = UNIQUE_ID, missCycles = 0, since = 0 } = {},
) {
  const clock = new CycleClock();
  const chip = new RP2040(clock);
  chip.logger = quiet;
  clock.core = chip.core;

  const cache = missCycles ? new FlashCache(missCycles) : undefined;
  const bootrom = buildBootrom(
    flash,
    () => stop('bootloader'),
    () => cache?.flush(),
  );
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
  const counter = new CycleCounter(chip, 'cycle counter');
  counter.since = since;
  chip.peripherals[CYCLE_COUNTER_ADDRESS >>> 12] = counter;
  chip.peripherals[RING_OSCILLATOR_ADDRESS >>> 12] = new RingOscillator(chip, 'ROSC', seed);
  answerFlashCommands(chip, uniqueId);
  chip.uart.forEach(raiseTransmitInterruptAfterWrites);
  refuseSecondCore(chip);
  const takenOver = new Set();
  for (const pio of chip.pio) {
    pio.machines.forEach(emptyFifosWhenJoined);
    runOnClock(pio, clock, takenOver);
  }
  const execute = fastCore(chip, clock, cache);
  return { chip, clock, serial: new UsbSerial(chip.usbCtrl), takenOver, cache, execute };
}
