"""A PC's side of a run:  python -m picolink_pc.bench.pc_peer DOOR PROGRAM ARGUMENT...

Plays a board's program of the folder programs here, on a virtual adapter; DOOR: RadioDoor.file. In the end it
prints "cpu" and the seconds of CPU time that this took.
"""

import asyncio
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    from picolink import radio

    from .. import virtual_adapter

    door, program, *arguments = sys.argv[1:]
    radio.use(virtual_adapter.radio(Path(door)))
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)  # a name of MicroPython's
    sys.path.insert(0, str(Path(program).parent))
    sys.argv[:] = [program, *arguments]
    began = time.process_time()
    runpy.run_path(program, run_name="__main__")
    print("cpu", time.process_time() - began)


if __name__ == "__main__":
    main()
