"""Files over a link, and their receiving: docs/files.md. Only who receives files loads this."""

import asyncio
import os
import struct
from hashlib import sha256

from .errors import FileError, LinkClosedError
from .files import (
    ABSENT,
    AGAIN,
    ANSWERS,
    DATA,
    DONE,
    END,
    FETCH,
    HAVE,
    HEADER,
    NOBODY,
    OFFER,
    RECEIVER,
    REFUSED,
    SIZE,
    answer_ms,
    hashes,
    is_over,
    port_of,
    send_opened,
    text,
)
from .runtime import const

_SYNC = const(32768)  # bytes: so often what has come is made safe; each time costs about one erasure
_NAME = const(100)  # characters
_DEPTH = const(5)  # folders
_SPARE = const(3)  # blocks that a file system needs besides
_PART = ".part"
_DEVICES = ("con", "prn", "aux", "nul")  # of Windows, in every folder, whatever follows a dot


def _is_plain(part):
    return all(c >= " " and c not in '\\:*?"<>|' for c in part)


def _is_device(part):
    stem = part.split(".")[0].rstrip().lower()
    return stem in _DEVICES or (stem[:3] in ("com", "lpt") and len(stem) == 4 and stem[3] in "0123456789¹²³")


class FileReceiver:
    """See picolink.receive_files()."""

    def __init__(self, link, folder, allow=None, programs=False, give=False, progress=None):
        if programs and not link._policy.keyed:
            raise ValueError("programs come only over a link with a key: anybody could send them")
        self._port = port_of(link)
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
                message = await self._port.next(RECEIVER)
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
        kind, number, value = struct.unpack_from(HEADER, message)
        try:
            if kind == OFFER:
                await self._offer(number, value, message)
            elif kind == FETCH:
                await self._fetch(number, message)
            elif kind in (DATA, END):
                if number != self._number:
                    await self._again(number)
                elif kind == DATA:
                    await self._write(number, value, message)
                else:
                    return await self._end(number, value, message)
        except (FileError, OSError, MemoryError, UnicodeError) as e:
            self._leave()
            self._unknown = number  # what still comes of it is not answered: this answer counts
            await self._refuse(number, e)
        return None

    async def _refuse(self, number, error):
        await self._port.send(REFUSED, number, 0, (str(error) or repr(error)).encode())

    async def _again(self, number):
        self._leave()
        if self._unknown != number:
            self._unknown = number
            await self._port.send(AGAIN, number, 0)

    async def _offer(self, number, size, message):
        self._leave()
        self._name = name = str(message[SIZE:], "utf-8")
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
                known, self._hash = await hashes(file, have, 2)
        else:
            known, self._hash = sha256(), sha256()
        self._whole = begun == path
        self._have = self._at = have
        self._size = size
        self._number = number
        await self._port.send(HAVE, number, have, known.digest())

    def _path(self, name):
        return self._folder + name

    def _check(self, name):
        """Raises FileError unless there may be a file of this name."""
        parts = name.split("/")
        if len(name) > _NAME or len(parts) > _DEPTH + 1:
            raise FileError(
                "a name has %d characters and %d folders at most, not %d and %d"
                % (_NAME, _DEPTH, len(name), len(parts) - 1)
            )
        for part in parts:
            # What a system could take for another folder, a drive, a stream or a device.
            if not part or part[0] == "." or part[-1] in ". " or not _is_plain(part) or _is_device(part):
                raise FileError("no file below the folder may have this name: %r" % name)
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
        data = memoryview(message)[SIZE:]
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
            raise FileError("no room: %d of %d bytes were written" % (self._at, self._size))
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
        same = self._hash.digest() == message[SIZE:]
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
        await self._port.send(DONE, number, self._size)
        return path

    async def _fetch(self, number, message):
        name = str(message[SIZE:], "utf-8")
        try:
            if not self._give:
                raise FileError("no files can be fetched there: receive_files() needs give=True")
            self._check(name)
            if _size(self._folder + name) < 0:
                raise FileError("there is no file %r" % name)
        except FileError as e:
            await self._port.send(ABSENT, number, 0, str(e).encode())
            return
        if self._port.sending.locked():
            return  # it is asked for again
        self._giving = asyncio.create_task(self._send(name, number))

    async def _send(self, name, number):
        try:
            async with self._port.sending:
                with open(self._folder + name, "rb") as file:
                    await send_opened(self._link, self._port, file, name, number, None, None)
        except (FileError, OSError, MemoryError) as e:
            await self._port.send(ABSENT, number, 0, (str(e) or repr(e)).encode())
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

    async def _refuse(self, number, error):
        await super()._refuse(number, error)
        if isinstance(error, OSError):
            raise error  # this side's file system has failed


async def fetch_file(link, name, path, progress=None, timeout_ms=None):
    """See picolink.fetch_file()."""
    number = int.from_bytes(os.urandom(2), "little")
    receiver = _Fetcher(link, name, str(path).replace("\\", "/"), progress)
    port = receiver._port
    missing = 0
    try:
        while missing < ANSWERS:
            await port.send(FETCH, number, 0, name.encode(), timeout_ms)
            await link.flush(timeout_ms)
            try:
                while True:
                    message = await port.next(RECEIVER, answer_ms(timeout_ms))
                    missing = 0
                    if message[0] == ABSENT and struct.unpack_from(HEADER, message)[1] == number:
                        raise FileError(text(message))
                    if await receiver._handle(message):
                        return
            except asyncio.TimeoutError:
                if is_over(timeout_ms):
                    raise
                missing += link.connected
    finally:
        receiver.close()
    raise FileError(NOBODY)


def _size(path):
    """Bytes of the file; -1: there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return -1
    return -1 if found[0] & 0x4000 else found[6]
