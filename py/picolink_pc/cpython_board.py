"""A virtual board in CPython:  cpython_board.py PROGRAM.py ARGUMENT...  or  cpython_board.py -c CODE

The program finds what it would find on a board: picolink, aioble, bluetooth, a little of machine, and
MicroPython's names in modules that CPython has, too. PICOLINK_STANDIN tells where the radio is; PICOLINK_PATH
where modules are.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path


def main():
    sys.path[:1] = os.environ["PICOLINK_PATH"].split(os.pathsep)
    import board_names
    import standin_socket

    board_names.add()
    standin_socket.link = standin_socket.Link(os.environ["PICOLINK_STANDIN"])
    _use_aioble()
    sys.argv.pop(0)
    try:
        if sys.argv[0] == "-c":
            exec(compile(sys.argv[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.path.insert(0, str(Path(sys.argv[0]).absolute().parent))
            runpy.run_path(sys.argv[0], run_name="__main__")
    except Exception as error:
        traceback.print_exception(_from_the_program_on(error))
        raise SystemExit(1) from None
    finally:
        standin_socket.leave()


def _from_the_program_on(error):
    """Without what has started the program, if anything else is left."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename in ours:
        frame = frame.tb_next
    return error.with_traceback(frame or error.__traceback__)


def _use_aioble():
    """As on a board: links go by Bluetooth unless they name another radio. And without this PC's engine."""
    sys.modules["_picolink"] = None
    import picolink.radio
    from picolink.radio import aioble

    picolink.radio.use(aioble)


if __name__ == "__main__":
    main()
