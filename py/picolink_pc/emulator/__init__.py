"""An emulated Raspberry Pi Pico: real firmware on an emulated RP2040 that counts CPU cycles.

The chip is rp2040js (npm), run by Node.js (the .mjs files); `Emulator` starts and stops it from Python.
It has one core, and no model of the flash cache: cycle counts repeat exactly, but are somewhat low.
"""

from .emulator import CYCLE_COUNTER, ROOM_CLOCK, Emulator
from .errors import EmulatorError
from .filesystem import write_files

__all__ = ["CYCLE_COUNTER", "ROOM_CLOCK", "Emulator", "EmulatorError", "write_files"]
