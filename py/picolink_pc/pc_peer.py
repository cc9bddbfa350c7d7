"""A PC's side of a run:  python -m picolink_pc.pc_peer DOOR ENGINE PROGRAM ARGUMENT...

Plays a program that was written for boards, on a virtual adapter.   DOOR: RadioDoor.file.   ENGINE: "native",
"python", or "any": what the program asks for. In the end it prints "cpu" and the seconds of CPU time
that this took.
"""

import asyncio
import gc
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    door, engine, program, *arguments = sys.argv[1:]
    if engine == "python":
        sys.modules["_picolink"] = None
    elif engine == "native":
        import _picolink  # noqa: F401

    from picolink import radio

    from . import virtual_adapter

    radio.use(virtual_adapter.radio(Path(door)))
    # Names of MicroPython's that such programs use.
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)
    gc.mem_alloc = lambda: 0  # of this process: nobody looks at it
    sys.path.insert(0, str(Path(program).parent))
    sys.argv[:] = [program, *arguments]
    began = time.process_time()
    runpy.run_path(program, run_name="__main__")
    print("cpu", time.process_time() - began)


if __name__ == "__main__":
    main()
