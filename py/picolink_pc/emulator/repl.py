"""MicroPython's raw REPL over a serial port that is driven by an event loop."""

import asyncio
from collections.abc import Callable

_INTERRUPT = "\x03"
_RAW_MODE = "\x01"
_END = "\x04"
_PROMPT = "raw REPL; CTRL-B to exit\r\n>"


class Repl:
    """The PC's end.

    write: takes bytes for the board.  Give what the board prints to `feed`.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._text = ""
        self._news = asyncio.Event()

    def feed(self, text: str) -> None:
        """Something that the board has printed, a character for each byte."""
        self._text += text
        self._news.set()

    async def enter(self) -> None:
        """Interrupt whatever runs."""
        self._write(f"{_INTERRUPT}{_INTERRUPT}{_RAW_MODE}".encode())
        await self._read_to(_PROMPT, lambda _text: None)

    async def run(self, source: str, output: Callable[[str], None]) -> str:
        """Run `source`; `output` gets what it prints.  The traceback that it ends with, or nothing."""
        self._write(source.encode() + _END.encode())
        await self._read_to("OK", lambda _text: None)
        await self._read_to(_END, output)
        errors: list[str] = []
        await self._read_to(f"{_END}>", errors.append)
        return _decoded("".join(errors))

    async def _read_to(self, marker: str, output: Callable[[str], None]) -> None:
        """Hand on all up to the first `marker`, and pass that over."""
        while True:
            before, found, after = self._text.partition(marker)
            if found:
                self._text = after
                output(before)
                return
            if len(marker) == 1:
                self._text = ""
                output(before)
            self._news.clear()
            await self._news.wait()


def _decoded(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace").replace("\r\n", "\n")
