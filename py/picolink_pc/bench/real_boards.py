"""Programs on two real boards at the same time, through mpremote."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from .. import device
from ..boards import BoardError

_PROGRAMS = Path(__file__).parent / "programs"
_CLOCK_READINGS = 20


def play(ports: tuple[str, ...], program: str, arguments: list[tuple[str, ...]]) -> list[list[str]]:
    """Run the same program on the boards at `ports`: the lines that each has printed.

    program: in the folder programs; the module traffic is there for it.
    arguments: for each board what its sys.argv holds.
    Raises BoardError when a board fails, DeviceError when one does not answer.
    """
    with contextlib.ExitStack() as stack:
        boards = [stack.enter_context(device.connect(port)) for port in ports]
        for board, port, words in zip(boards, ports, arguments, strict=True):
            _prepare(board, port, [program, *words])
        source = (_PROGRAMS / program).read_text()
        with ThreadPoolExecutor(len(boards)) as threads:
            runs = [threads.submit(_run, *each, source) for each in zip(boards, ports, strict=True)]
            return [run.result() for run in runs]


def _prepare(board: SerialTransport, port: str, words: list[str]) -> None:
    """Give a freshly reset board the module traffic, on the clock of this PC, and its arguments."""
    _, error = board.exec_raw("import picolink")
    if error:
        raise BoardError(f"the board at {port} has no picolink: run picolink install --port {port}")
    device.run(board, (_PROGRAMS / "traffic.py").read_text())
    device.run(
        board,
        # No file is left on the board: what ran above stands in for the module.
        'import sys, __main__\nsys.modules["traffic"] = __main__\n'
        f"sys.argv[:] = {words!r}\nCLOCK_OFFSET_US = {_clock_offset_us(board)}\n",
    )


def _clock_offset_us(board: SerialTransport) -> int:
    """What to add to the board's time to get this PC's. By the quickest of some readings: to 1 ms or so."""
    readings = []
    for _ in range(_CLOCK_READINGS):
        before = time.time_ns()
        there_us = int(device.run(board, "print(now_us())"))
        after = time.time_ns()
        readings.append((after - before, (before + after) // 2000 - there_us))
    return min(readings)[1]


def _run(board: SerialTransport, port: str, source: str) -> list[str]:
    try:
        return device.run(board, source).splitlines()
    except TransportExecError as error:
        raise BoardError(f"the board at {port} failed:\n{error.error_output}") from None
    except TransportError:
        raise BoardError(
            f"the board at {port} was silent for too long: does the other one still run?"
        ) from None
