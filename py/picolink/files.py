"""Files over a link: docs/files.md. Only who sends or receives files loads this."""

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
_HEADER = "<BHI"
_SIZE = const(7)
# To who receives. The value: bytes of the file; for DATA the offset of the first one in it.
_OFFER = const(1)  # and the name
_DATA = const(2)  # and bytes
_END = const(3)  # and SHA-256
_FETCH = const(4)  # and the name: offer that file
_ABSENT = const(5)  # and why there will be no offer
# To who sends. The value: bytes of the file that are there.
_HAVE = const(16)  # and SHA-256 of them
_DONE = const(17)
_AGAIN = const(18)  # of this transfer nothing is known: offer the file again
_REFUSED = const(19)  # and why

_RECEIVER = const(0)
_SENDER = const(1)

_PIECE = const(1024)  # bytes of a file in one message
_SMALL = const(224)  # likewise beside newest values, which wait for the message that is on its way
_SYNC = const(32768)  # so often what has come is made safe; each time costs about one erasure
_NAME = const(100)  # characters
_DEPTH = const(5)  # folders
_SPARE = const(3)  # blocks that a file system needs besides
_ANSWER_MS = const(5000)
_ANSWERS = const(6)  # so many missing ones in a row: nobody receives
_LOOK_MS = const(20)
_PART = ".part"
_NOBODY = "no answer: the program there has to call picolink.receive_files()"


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
        if kind != fl.BYTES or len(data) < _SIZE:
            return  # nobody sends that
        boxes = self._boxes
        side = _SENDER if data[0] >= _HAVE else _RECEIVER
        if side == _RECEIVER and self.receives and boxes[side] is not None:
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
        if side == _RECEIVER:
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
        data = self._boxes[_SENDER]
        self._boxes[_SENDER] = None
        return data

    def send(self, kind, number, value, data=b"", timeout_ms=None):
        """To be awaited."""
        return self._link.send(struct.pack(_HEADER, kind, number, value) + data, CHANNEL, timeout_ms)


def _port(link):
    port = sorting.taker(link, CHANNEL, _Port)
    if port is None:
        port = link._engine.takers[CHANNEL] = _Port(link)
    return port


async def _hashes(file, size, count):
    """SHA-256 objects, `count` of them, with the first `size` bytes of the file, from its begin on."""
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


# -- sending ----------------------------------------------------------------------------------------------


async def send_file(link, path, name=None, progress=None, timeout_ms=None):
    """See picolink.send_file()."""
    if name is None:
        name = str(path).replace("\\", "/").split("/")[-1]
    port = _port(link)
    async with port.sending:
        with open(path, "rb") as file:
            await _send(link, port, file, name, int.from_bytes(os.urandom(2), "little"), progress, timeout_ms)


async def _send(link, port, file, name, number, progress, timeout_ms):
    size = file.seek(0, 2)
    buf = bytearray(_SIZE + _PIECE)
    view = memoryview(buf)
    most = tries = 0
    while tries < _ANSWERS:
        have, proof = await _offered(link, port, size, name, number, timeout_ms)
        offset = 0
        known, whole = await _hashes(file, have, 2)
        if known.digest() == proof:
            offset = have
        else:
            file.seek(0)
            whole = sha256()
        answer = None
        while offset < size and answer is None:
            piece = _SMALL if link._policy.values else _PIECE
            n = file.readinto(view[_SIZE : _SIZE + min(piece, size - offset)])
            if not n:
                raise FileError("the file has become shorter")
            struct.pack_into(_HEADER, buf, 0, _DATA, number, offset)
            whole.update(view[_SIZE : _SIZE + n])
            await link.send(view[: _SIZE + n], CHANNEL, timeout_ms)
            offset += n
            if progress:
                progress(offset, size)
            answer = _refusal(port.look(), number)
        if answer is None:
            await port.send(_END, number, size, whole.digest(), timeout_ms)
            answer = await _answer(link, port, number, timeout_ms)
            if answer and answer[0] == _DONE:
                return
        number = number + 1 & 0xFFFF
        tries = 0 if have > most else tries + 1
        most = max(most, have)
    raise FileError("the other side begins again and again")


async def _offered(link, port, size, name, number, timeout_ms):
    """Offer the file. How many bytes of it the other side has, and their SHA-256."""
    for _ in range(_ANSWERS):
        await port.send(_OFFER, number, size, name.encode(), timeout_ms)
        answer = await _answer(link, port, number, timeout_ms)
        if answer and answer[0] == _HAVE and len(answer) == _SIZE + 32:
            have = struct.unpack_from(_HEADER, answer)[2]
            return (have, answer[_SIZE:]) if have <= size else (0, b"")
    raise FileError(_NOBODY)


async def _answer(link, port, number, timeout_ms):
    """What is said to this transfer, or None if nothing is, though the other board has all that was sent."""
    await link.flush(timeout_ms)
    while True:
        try:
            answer = await port.next(_SENDER, _ANSWER_MS)
        except asyncio.TimeoutError:
            return None
        answer = _refusal(answer, number)
        if answer:
            return answer


def _refusal(answer, number):
    """The answer, if it is to this transfer; raises FileError if it says that the file is refused."""
    if answer is None or struct.unpack_from(_HEADER, answer)[1] != number:
        return None
    if answer[0] == _REFUSED:
        raise FileError("refused: " + _text(answer))
    return answer


def _text(message):
    try:
        return str(message[_SIZE:], "utf-8")
    except UnicodeError:
        return "?"


# -- receiving --------------------------------------------------------------------------------------------


def _is_plain(part):
    return all(c >= " " and c not in '\\:*?"<>|' for c in part)


class FileReceiver:
    """See picolink.receive_files()."""

    def __init__(self, link, folder, allow=None, programs=False, give=False, progress=None):
        if programs and not link._policy.keyed:
            raise ValueError("programs come only over a link with a key: anybody could send them")
        self._port = _port(link)
        if self._port.receives:
            raise RuntimeError("this link receives files already")
        self._port.receive(True)
        self._link = link
        self._folder = folder if not folder or folder.endswith("/") else folder + "/"
        self._allow = allow
        self._programs = programs
        self._give = give
        self._progress = progress
        self._giving = None  # a task
        self._unknown = None  # the number of a transfer that is told to begin again
        self._number = None  # of the transfer under way
        self._name = self._file = self._hash = None
        self._have = self._at = self._size = 0  # bytes: when it began, now, in the end

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            while True:
                message = await self._port.next(_RECEIVER)
                path = await self._handle(message)
                if path:
                    return path
        except LinkClosedError:
            self.close()
            raise StopAsyncIteration
        except BaseException:
            self.close()
            raise

    def close(self):
        """Receive no more. What has come of a file is kept."""
        self._leave()
        self._port.receive(False)

    def _leave(self):
        file, self._file = self._file, None
        self._number = None
        if file:
            try:
                file.close()
            except OSError:
                pass  # there was no room: what is safe is found later

    async def _handle(self, message):
        """Returns the path of a file that is whole, else None."""
        kind, number, value = struct.unpack_from(_HEADER, message)
        try:
            if kind == _OFFER:
                await self._offer(number, value, message)
            elif kind == _FETCH:
                await self._fetch(number, message)
            elif kind in (_DATA, _END):
                if number != self._number:
                    await self._again(number)
                elif kind == _DATA:
                    await self._write(number, value, message)
                else:
                    return await self._end(number, value, message)
        except (FileError, OSError, MemoryError, UnicodeError) as e:
            self._leave()
            self._unknown = number  # what still comes of it is not answered: this answer counts
            await self._port.send(_REFUSED, number, 0, (str(e) or repr(e)).encode())
        return None

    async def _again(self, number):
        self._leave()
        if self._unknown != number:
            self._unknown = number
            await self._port.send(_AGAIN, number, 0)

    async def _offer(self, number, size, message):
        self._leave()
        self._name = name = str(message[_SIZE:], "utf-8")
        self._check(name)
        if self._allow and not self._allow(name):
            raise FileError("this name is not allowed there: %r" % name)
        path = self._path(name)
        self._make_folders(path)
        have = _size(path + _PART)
        if 0 < have <= size:
            begun = path + _PART
        elif _size(path) == size:
            begun = path
            have = size
        else:
            begun = None
            have = 0
        self._check_room(size - have)
        if begun:
            with open(begun, "rb") as file:
                known, self._hash = await _hashes(file, have, 2)
        else:
            known, self._hash = sha256(), sha256()
        self._whole = begun == path
        self._have = self._at = have
        self._size = size
        self._number = number
        await self._port.send(_HAVE, number, have, known.digest())

    def _path(self, name):
        return self._folder + name

    def _check(self, name):
        """Raises FileError unless there may be a file of this name."""
        parts = name.split("/")
        if len(name) > _NAME or len(parts) > _DEPTH + 1:
            raise FileError("the name is too long")
        for part in parts:
            # What a system could take for another folder, a drive, a stream or a device.
            if not part or part[0] == "." or part[-1] in ". " or not _is_plain(part):
                raise FileError("the name is not one of a file below the folder: %r" % name)
        last = parts[-1].lower()
        if last.endswith(_PART) or last.startswith("picolink"):
            raise FileError("picolink keeps files of such names itself: %r" % name)
        if not self._programs and (last.endswith(".py") or last.endswith(".mpy")):  # noqa: PIE810
            raise FileError("no programs are allowed there: %r" % name)

    def _make_folders(self, path):
        at = path.find("/", 1)
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass  # it is there, or opening the file will tell
            at = path.find("/", at + 1)

    def _check_room(self, size):
        try:
            found = os.statvfs(self._folder or ".")
        except (AttributeError, OSError):
            return  # not known there
        free = found[1] * (found[4] - _SPARE)
        if size > free:
            raise FileError("no room: %d bytes more are needed, %d are free" % (size, max(free, 0)))

    async def _write(self, number, offset, message):
        data = memoryview(message)[_SIZE:]
        if self._file is None:
            if offset not in (0, self._have) or (self._whole and offset):
                await self._again(number)
                return
            if self._have and not offset:  # it is another file
                self._check_room(self._size - (0 if self._whole else self._have))
            mode = "ab" if offset else "wb"
            self._file = open(self._path(self._name) + _PART, mode)  # noqa: SIM115
            self._whole = False
            if not offset:
                self._at = 0
                self._hash = sha256()
        if offset != self._at or offset + len(data) > self._size:
            await self._again(number)
            return
        if self._file.write(data) != len(data):
            raise FileError("no room")
        self._hash.update(data)
        self._at = at = offset + len(data)
        if offset // _SYNC != at // _SYNC:
            self._file.flush()
        if self._progress:
            self._progress(self._name, at, self._size)

    async def _end(self, number, size, message):
        path = self._path(self._name)
        if self._at != self._size or size != self._size:
            await self._again(number)
            return None
        if not self._size and not self._whole:
            self._file = open(path + _PART, "wb")  # noqa: SIM115
        same = self._hash.digest() == message[_SIZE:]
        file, self._file = self._file, None
        if file:
            file.close()
        self._leave()
        if not same:
            if not self._whole:
                os.remove(path + _PART)
            raise FileError("it has arrived damaged")
        if not self._whole:
            getattr(os, "replace", os.rename)(path + _PART, path)
        await self._port.send(_DONE, number, self._size)
        return path

    async def _fetch(self, number, message):
        name = str(message[_SIZE:], "utf-8")
        try:
            if not self._give:
                raise FileError("no files are given away there")
            self._check(name)
            if _size(self._folder + name) < 0:
                raise FileError("there is no file %r" % name)
        except FileError as e:
            await self._port.send(_ABSENT, number, 0, str(e).encode())
            return
        if self._port.sending.locked():
            return  # it is asked for again
        self._giving = asyncio.create_task(self._send(name, number))

    async def _send(self, name, number):
        try:
            async with self._port.sending:
                with open(self._folder + name, "rb") as file:
                    await _send(self._link, self._port, file, name, number, None, None)
        except (FileError, OSError, MemoryError) as e:
            await self._port.send(_ABSENT, number, 0, (str(e) or repr(e)).encode())
        except LinkClosedError:
            pass


class _Fetcher(FileReceiver):
    """Receives one file, of whatever name, to the path `to`."""

    def __init__(self, link, wanted, to, progress):
        at = to.rfind("/") + 1
        super().__init__(link, to[:at], progress=progress)
        self._wanted = wanted
        self._to = to

    def _path(self, _name):
        return self._to

    def _check(self, name):
        if name != self._wanted:
            raise FileError("it was not asked for: %r" % name)


async def fetch_file(link, name, path, progress=None, timeout_ms=None):
    """See picolink.fetch_file()."""
    number = int.from_bytes(os.urandom(2), "little")
    receiver = _Fetcher(link, name, str(path).replace("\\", "/"), progress)
    port = receiver._port
    missing = 0
    try:
        while missing < _ANSWERS:
            await port.send(_FETCH, number, 0, name.encode(), timeout_ms)
            await link.flush(timeout_ms)
            try:
                while True:
                    message = await port.next(_RECEIVER, _ANSWER_MS)
                    missing = 0
                    if message[0] == _ABSENT and struct.unpack_from(_HEADER, message)[1] == number:
                        raise FileError(_text(message))
                    if await receiver._handle(message):
                        return
            except asyncio.TimeoutError:
                missing += link.connected
    finally:
        receiver.close()
    raise FileError(_NOBODY)


def _size(path):
    """Bytes of the file; -1: there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return -1
    return -1 if found[0] & 0x4000 else found[6]
