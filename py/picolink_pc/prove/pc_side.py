"""This PC's side of `picolink prove`:  python -m picolink_pc.prove.pc_side RADIO PROGRAM ARGUMENT...

Plays a program that was written for boards.   RADIO: as the option --radio of picolink send.
"""

import asyncio
import gc
import runpy
import sys
import time
from pathlib import Path

from ..terminal.visit import open_radio


def main() -> None:
    name, program, *arguments = sys.argv[1:]
    from picolink import radio

    radio.use(open_radio(name))
    # Names of MicroPython's that such programs use.
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)
    gc.mem_alloc = gc.mem_free = lambda: 0  # of this process: nobody looks at it
    time.ticks_us = lambda: time.monotonic_ns() // 1000
    time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000
    time.ticks_add = int.__add__
    time.ticks_diff = int.__sub__
    sys.path.insert(0, str(Path(program).parent))
    sys.argv[:] = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
