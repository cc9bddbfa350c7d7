"""A virtual board behind a serial port: raw REPL, Ctrl-C, soft reset, machine.reset()."""

import asyncio
import contextlib
import ctypes
import signal
import socket
from pathlib import Path

_RAW_REPL = Path(__file__).parent / "programs" / "raw_repl.py"
_SOFT_RESET = b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
_libc = ctypes.CDLL(None)
_CTRL_C, _CTRL_D = b"\x03", b"\x04"


class VirtualPort:
    """`board` (of a Room) at a TCP port on the loopback, for one client at a time.

    A fresh process of the board is behind it at first and after each reset. What is typed while a program
    runs goes to that program's standard input.
    """

    def __init__(self, board):
        self._board = board
        self._client = None
        self.resets = 0

    async def offer(self):
        """The port's name for pyserial."""
        self._board.allow_typing()
        await self._power()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"socket://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _power(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            number = free.getsockname()[1]
        await self._board.start(_RAW_REPL, str(number))
        await self._board.line("listening")
        self._from_board, self._to_board = await asyncio.open_connection("127.0.0.1", number)
        self._runs = False
        self._typed = b""

    async def _serve(self, reader, writer):
        listening = asyncio.create_task(self._listen(writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                for byte in data:
                    listening = await self._take(bytes((byte,)), listening, writer)
        listening.cancel()
        writer.close()

    async def _take(self, byte, listening, writer):
        if self._runs:
            if byte == _CTRL_C:
                process = self._board._process.pid
                _libc.tgkill(process, process, signal.SIGINT)  # else it may end a thread of the stand-in
            else:
                self._board._process.stdin.write(byte)
        elif byte == _CTRL_D and not self._typed:
            listening.cancel()
            await self._restart()
            writer.write(_SOFT_RESET)
            return asyncio.create_task(self._listen(writer))
        else:
            self._to_board.write(byte)
            await self._to_board.drain()
            if byte == _CTRL_D:
                self._runs = True
                self._typed = b""
            elif byte in b"\x01\x02\x03\x05\r" and not self._typed:
                pass
            else:
                self._typed += byte
        return listening

    async def _restart(self):
        self._to_board.close()
        self._board.end_typing()
        await self._board.exit_code(10)  # it sees the end of its connection, and leaves as a soft reset does
        await self._power()

    async def _listen(self, writer):
        """Hand on what the board says."""
        while data := await self._from_board.read(4096):
            if b"\x04>" in data:
                self._runs = False
            writer.write(data)
        if self._board.running:
            await self._board.exit_code(10)
        self.resets += 1
        await self._power()
        writer.transport.abort()  # the USB port has gone
