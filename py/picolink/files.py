"""Files over a link, and their sending: docs/files.md. Only who sends or receives files loads this."""

import asyncio
import os
import struct
from hashlib import sha256

from . import flags as fl
from . import sorting
from .errors import FileError, LinkClosedError
from .runtime import const, sleep_ms, ticks_add, ticks_diff, ticks_ms

CHANNEL = const(15)

# Each message begins with its kind, the number of the transfer and a value.
HEADER = "<BHI"
SIZE = const(7)
# To who receives. The value: bytes of the file; for DATA the offset of the first one in it.
OFFER = const(1)  # and the name
DATA = const(2)  # and bytes
END = const(3)  # and SHA-256
FETCH = const(4)  # and the name: offer that file
ABSENT = const(5)  # and why there will be no offer
# To who sends. The value: bytes of the file that are there.
HAVE = const(16)  # and SHA-256 of them
DONE = const(17)
AGAIN = const(18)  # of this transfer nothing is known: offer the file again
REFUSED = const(19)  # and why

RECEIVER = const(0)
SENDER = const(1)

_PIECE = const(1024)  # bytes of a file in one message
_SMALL = const(224)  # likewise beside newest values, which wait for the message that is on its way
ANSWER_MS = const(5000)
ANSWERS = const(6)  # so many missing ones in a row: nobody receives
_LOOK_MS = const(20)
NOBODY = "no answer: the program there has to call picolink.receive_files()"


class _Port:
    """What comes on the channel of files, for its two sides.

    sending: a lock: one file at a time.   receives: whether somebody receives files.
    """

    def __init__(self, link):
        link._policy.check_open()
        self._link = link
        self._boxes = [None, None]
        self._held = None  # one for who receives, behind that in its box
        self.sending = asyncio.Lock()
        self.receives = False

    def _ready(self):
        """See picolink.sorting.Sorter."""
        return self._held is None

    def _take(self, kind, data):
        """See picolink.sorting.Sorter."""
        if kind != fl.BYTES or len(data) < SIZE:
            return  # nobody sends that
        boxes = self._boxes
        side = SENDER if data[0] >= HAVE else RECEIVER
        if side == RECEIVER and self.receives and boxes[side] is not None:
            if data != boxes[side]:
                self._held = data
            return
        # Of answers, and of what nobody receives, only the last one counts: they never hold up the rest.
        boxes[side] = data
        self._link._tell_readers()

    def _has_come(self, side):
        self._link._engine.readable()
        return self._boxes[side] is not None

    async def next(self, side, timeout_ms=None):
        """The next message for this side. Raises LinkClosedError, asyncio.TimeoutError."""
        link = self._link
        until = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while True:
            try:
                left_ms = None if until is None else ticks_diff(until, ticks_ms())
                await link._wait_message(LinkClosedError, left_ms, lambda: self._has_come(side))
                break
            except MemoryError:
                await sleep_ms(_LOOK_MS)  # nothing was taken
        data = self._boxes[side]
        self._boxes[side] = None
        if side == RECEIVER:
            self._go_on()
        return data

    def _go_on(self):
        held = self._held
        if held is not None:
            self._held = None
            self._take(fl.BYTES, held)

    def receive(self, on):
        """Whether somebody receives files."""
        self.receives = on
        self._go_on()

    def look(self):
        """The answer that has come, or None."""
        try:
            self._link._engine.readable()
        except MemoryError:
            return None  # nothing was taken
        data = self._boxes[SENDER]
        self._boxes[SENDER] = None
        return data

    def send(self, kind, number, value, data=b"", timeout_ms=None):
        """To be awaited."""
        return self._link.send(struct.pack(HEADER, kind, number, value) + data, CHANNEL, timeout_ms)


def port_of(link):
    port = sorting.taker(link, CHANNEL, _Port)
    if port is None:
        port = link._engine.takers[CHANNEL] = _Port(link)
    return port


async def hashes(file, size, count):
    """SHA-256 objects, `count` of them, with the first `size` bytes of the file, from its beginning."""
    hashes = [sha256() for _ in range(count)]
    buf = bytearray(_PIECE)
    view = memoryview(buf)
    left = size
    file.seek(0)
    while left:
        n = file.readinto(view[: min(left, _PIECE)])
        if not n:
            raise FileError("the file has become shorter")
        for each in hashes:
            each.update(view[:n])
        left -= n
        if not left % (16 * _PIECE):
            await sleep_ms(0)
    return hashes


async def send_file(link, path, name=None, progress=None, timeout_ms=None):
    """See picolink.send_file()."""
    if name is None:
        name = str(path).replace("\\", "/").split("/")[-1]
    port = port_of(link)
    async with port.sending:
        with open(path, "rb") as file:
            await send_opened(
                link, port, file, name, int.from_bytes(os.urandom(2), "little"), progress, timeout_ms
            )


async def send_opened(link, port, file, name, number, progress, timeout_ms):
    size = file.seek(0, 2)
    buf = bytearray(SIZE + _PIECE)
    view = memoryview(buf)
    most = tries = 0
    while tries < ANSWERS:
        have, proof = await _offered(link, port, size, name, number, timeout_ms)
        offset = 0
        known, whole = await hashes(file, have, 2)
        if known.digest() == proof:
            offset = have
        else:
            file.seek(0)
            whole = sha256()
        answer = None
        while offset < size and answer is None:
            piece = _SMALL if link._policy.values else _PIECE
            n = file.readinto(view[SIZE : SIZE + min(piece, size - offset)])
            if not n:
                raise FileError("the file has become shorter")
            struct.pack_into(HEADER, buf, 0, DATA, number, offset)
            whole.update(view[SIZE : SIZE + n])
            await link.send(view[: SIZE + n], CHANNEL, timeout_ms)
            offset += n
            if progress:
                progress(offset, size)
            answer = _refusal(port.look(), number)
        if answer is None:
            await port.send(END, number, size, whole.digest(), timeout_ms)
            answer = await _answer(link, port, number, timeout_ms)
            if answer and answer[0] == DONE:
                return
        number = number + 1 & 0xFFFF
        tries = 0 if have > most else tries + 1
        most = max(most, have)
    raise FileError("the other side begins again and again")


async def _offered(link, port, size, name, number, timeout_ms):
    """Offer the file. How many bytes of it the other side has, and their SHA-256."""
    for _ in range(ANSWERS):
        await port.send(OFFER, number, size, name.encode(), timeout_ms)
        answer = await _answer(link, port, number, timeout_ms)
        if answer and answer[0] == HAVE and len(answer) == SIZE + 32:
            have = struct.unpack_from(HEADER, answer)[2]
            return (have, answer[SIZE:]) if have <= size else (0, b"")
    raise FileError(NOBODY)


async def _answer(link, port, number, timeout_ms):
    """What is said to this transfer, or None if nothing is, though the other board has all that was sent."""
    await link.flush(timeout_ms)
    while True:
        try:
            answer = await port.next(SENDER, answer_ms(timeout_ms))
        except asyncio.TimeoutError:
            if is_over(timeout_ms):
                raise
            return None
        answer = _refusal(answer, number)
        if answer:
            return answer


def answer_ms(timeout_ms):
    """How long to wait for one answer."""
    return ANSWER_MS if timeout_ms is None else min(ANSWER_MS, timeout_ms)


def is_over(timeout_ms):
    """Whether a program's limit ends with one wait for an answer; else what was asked is asked again."""
    return timeout_ms is not None and timeout_ms <= ANSWER_MS


def _refusal(answer, number):
    """The answer, if it is to this transfer; raises FileError if it says that the file is refused."""
    if answer is None or struct.unpack_from(HEADER, answer)[1] != number:
        return None
    if answer[0] == REFUSED:
        raise FileError("refused: " + text(answer))
    return answer


def text(message):
    try:
        return str(message[SIZE:], "utf-8")
    except UnicodeError:
        return "?"
