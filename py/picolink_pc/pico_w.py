"""An emulated Pico W with a radio, as a program of its own, as emulator/main.mjs is for a Pico:

    python -m picolink_pc.pico_w [--flash FILE] [--miss-cycles N] [--capture FILE] [--pair]
                                 FIRMWARE.uf2 [PROGRAM ...]

Its USB serial port is a TCP port on the loopback, for one client at a time. What happens is told on standard
output, one JSON object a line: {"event": "listening", "ports": [n]}, {"event": "serial"}, {"event": "reset"},
{"event": "bootloader"}. With --pair there are two such boards, in range of each other: two ports, and the
events of both. It ends with standard input. PROGRAMs run on virtual boards within range, and other programs
of this user can be there as well: --radio virtual.

Its time is never ahead of real time, in which virtual boards live. Where this PC is too slow, the board
is slower than it would be, and time that is lost is not caught up.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from .boards import BoardError, Room, play
from .emulated_boards import EmulatedBoard
from .emulator.board_process import BoardOptions
from .emulator.firmware import read_firmware
from .radio_door import RadioDoor

_NUMBER = 100
"""Of the first emulated board: virtual ones count from 1, and addresses come from the number."""


class PortBoard(EmulatedBoard):
    """Its serial port is for whoever connects to it.

    tell: called with "serial", "reset" and "bootloader" when that happens.
    """

    def __init__(self, room: Room, options: BoardOptions, tell: Callable[[str], None]) -> None:
        super().__init__(
            "Pico W", room.radio, options, "native", lambda _name, line: print(line, file=sys.stderr)
        )
        self._tell = tell
        self._client: asyncio.Transport | None = None

    async def offer(self) -> int:
        """Returns the TCP port, and switches the board on."""
        server = await asyncio.get_running_loop().create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.process.power(True)
        return server.sockets[0].getsockname()[1]

    def _on_happened(self, at_ns: int, what: str, detail: object) -> None:
        if what == "output":
            if self._client:
                self._client.write(detail.encode("latin-1"))
        elif what in ("serial", "reset", "bootloader"):
            if what != "serial" and self._client:
                self._client.abort()  # the USB port goes away
            self._tell(what)
        elif what == "died":
            raise SystemExit(detail)
        else:
            super()._on_happened(at_ns, what, detail)

    def connected(self, client: asyncio.Transport) -> None:
        """Takes this one, if it is the only one."""
        if self._client:
            client.abort()
            return
        self._client = client
        self.process.open_serial(True)

    def disconnected(self, client: asyncio.Transport) -> None:
        """It has gone."""
        if client is self._client:
            self._client = None
            self.process.open_serial(False)


class _Client(asyncio.Protocol):
    def __init__(self, board: PortBoard) -> None:
        self._board = board

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._board.connected(transport)

    def data_received(self, data: bytes) -> None:
        self._board.process.write_serial(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._board.disconnected(self._transport)


def _tell(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


async def _run(options: argparse.Namespace, firmware: object) -> None:
    def show(name: str, line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr)

    async with (
        Room(on_line=show, firmware=firmware, capture=options.capture) as room,
        contextlib.AsyncExitStack() as doors,
    ):
        with contextlib.suppress(OSError):  # without a door, boards still have each other
            await doors.enter_async_context(RadioDoor(room.radio))
        boards = []
        try:
            for number in range(_NUMBER, _NUMBER + 1 + options.pair):
                flash = options.flash if number == _NUMBER else None
                board = BoardOptions(firmware.path, number, flash=flash, miss_cycles=options.miss_cycles)
                boards.append(PortBoard(room, board, _tell))
            for program in options.programs:
                await room.board(program.stem, virtual=True).start(program)
            _tell("listening", ports=[await board.offer() for board in boards])
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
            await ended.wait()
        finally:
            for board in boards:
                board.close()


def main() -> None:
    """See above.  Ends with code 1 and says why when it cannot start."""
    parser = argparse.ArgumentParser()
    parser.add_argument("firmware", type=Path)
    parser.add_argument("programs", type=Path, nargs="*")
    parser.add_argument("--flash", type=Path)
    parser.add_argument("--miss-cycles", type=int, default=0)
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--pair", action="store_true")
    options = parser.parse_args()
    try:
        firmware = read_firmware(options.firmware)
        play(_run(options, firmware), firmware, pace=1)
    except BoardError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
