# Files and programs on littlefs, on a flash chip whose power is cut inside its erase and program calls:
# flash_cuts.py SEED CUTS SCRATCH
#
# Both ends are in this program, on the radio in memory, and so is the flash chip, with sectors and pages.
# A call under which power is cut is done in part; later ones fail, until there is power again.

import asyncio
import os
import random
import sys

import picolink
from picolink import trial
from picolink.radio import memory

try:
    import vfs
except ImportError:
    vfs = os

_BLOCK = 4096
_BLOCKS = 64
_EIO = 5


data = bytearray(b"\xff" * (_BLOCK * _BLOCKS))


class Flash:
    """The chip, from one power-on to the next.

    left: calls until the power is cut; None: it is not.   cut: what was under way then, or None.
    """

    def __init__(self):
        self.data = data
        self.left = None
        self.cut = None

    def _call(self, what):
        """Whether the power is cut under this call."""
        if self.left is None:
            return False
        self.left -= 1
        if self.left >= 0:
            return False
        self.cut = what
        return True

    def readblocks(self, block, buf, offset=0):
        if self.cut:
            return -_EIO
        at = block * _BLOCK + offset
        buf[:] = self.data[at : at + len(buf)]
        return 0

    def writeblocks(self, block, buf, offset=0):
        if self.cut:
            return -_EIO
        at = block * _BLOCK + offset
        size = len(buf)
        cut = self._call("program")
        if cut:
            size = random.randrange(size + 1)
        for i in range(size):
            self.data[at + i] &= buf[i]
        if cut:
            if size < len(buf):  # of the byte under way some bits
                self.data[at + size] &= buf[size] | random.randrange(256)
            return -_EIO
        return 0

    def ioctl(self, operation, argument):
        if operation == 4:
            return _BLOCKS
        if operation == 5:
            return _BLOCK
        if operation == 6 and self.cut:
            return -_EIO
        if operation == 6:
            at = argument * _BLOCK
            if self._call("erase"):
                for i in range(at, at + _BLOCK):  # bits on their way to 1, in no order
                    self.data[i] |= random.randrange(256)
                return -_EIO
            self.data[at : at + _BLOCK] = b"\xff" * _BLOCK
        return 0


flash = Flash()
calls = {}  # under which the power was cut: how often


def power_on():
    """Mounts again after a cut; returns whether there was one."""
    global flash
    was_cut = flash.cut
    flash.cut = "off"  # what still refers to it writes no more
    flash = Flash()
    if was_cut:
        calls[was_cut] = calls.get(was_cut, 0) + 1
    os.chdir("/")
    if "flash" in os.listdir("/"):
        vfs.umount("/flash")
    vfs.mount(vfs.VfsLfs2(flash, progsize=256), "/flash")
    os.chdir("/flash")
    return was_cut


def content(seed, size):
    return (bytes((seed * 31 + i * i) & 0xFF for i in range(251)) * (size // 251 + 1))[:size]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


class Board:
    """One end of a link, and its air."""

    def __init__(self):
        self.air = memory.Air()

    def link(self, way, name="A"):
        return way(name, radio=self.air, on_event=lambda *_: None)


async def send(board, path):
    async with board.link(picolink.connect) as link:
        try:
            await picolink.send_file(link, path, "file")
        except picolink.FileError:
            pass  # the disk there has failed


async def receive(board):
    async with board.link(picolink.advertise) as link:
        async for _ in picolink.receive_files(link, "in"):
            pass


async def files(cuts):
    """Each file is the old one or the new one, and each comes in the end."""
    old = None
    number = arrived = continued = done = 0
    while done < cuts:
        number += 1
        new = content(number, random.randrange(1, 60_000))
        with open(sys.argv[3], "wb") as file:
            file.write(new)
        while read("in/file") != new:
            flash.left = random.randrange(1, len(new) // 230 + 20) if done < cuts else None
            board = Board()
            await asyncio.gather(send(board, sys.argv[3]), receive(board))
            done += bool(power_on())
            found = read("in/file")
            if found not in (old, new):
                raise ValueError("neither the old file nor the new one: %r bytes" % (found and len(found)))
            part = read("in/file.part")
            if (
                part is not None
                and part != new[: len(part)]
                and part != content(number - 1, 60_000)[: len(part)]
            ):
                raise ValueError("a part that is not the file's")
            continued += bool(part) and found != new
        old = new
        arrived += 1
    print("files", arrived, "continued", continued, "cuts", done)


class Watch:
    begun = 0

    def __call__(self, _ms):
        self.begun += 1


def programs(cuts):
    """main.py is the old one or the new one after each start; the old one unless it was kept."""
    watch = Watch()
    trial._watch = watch
    done = kept_ones = 0
    number = 0
    names = []
    while done < cuts:
        number += 1
        for name, text in (("main.py", "old %d" % number), ("new.py", "new %d" % number)):
            with open(name, "w") as file:
                file.write(text)
        flash.left = random.randrange(0, 14)
        kept = False
        try:
            try:
                picolink.try_program("new.py", 5000)
            except SystemExit:
                pass
            trial.boot()
            picolink.keep()
            kept = True
        except OSError:
            pass
        was_cut = power_on()
        done += bool(was_cut)
        if was_cut and random.randrange(2):  # and again, in the next start
            flash.left = random.randrange(0, 6)
            try:
                trial.boot()
            except OSError:
                pass
            done += bool(power_on())
        stays = kept or (read("picolink.old") is None and read("main.py") == b"new %d" % number)
        for _ in range(2):
            trial.boot()
            names.append(read("main.py"))
        if names[-1] != (b"new %d" % number if stays else b"old %d" % number):
            raise ValueError("main.py is %r, kept: %r" % (names[-1], kept))
        if set(os.listdir()) - {"main.py", "new.py", "in"}:
            raise ValueError("left: %r" % os.listdir())
        kept_ones += stays
    print("programs", number, "kept", kept_ones, "trials", watch.begun, "cuts", done)


def main(seed, cuts):
    random.seed(int(seed))
    vfs.VfsLfs2.mkfs(flash, progsize=256)
    power_on()
    asyncio.run(files(int(cuts)))
    os.chdir("/flash")
    programs(int(cuts))
    print("under", calls)


main(*sys.argv[1:3])
