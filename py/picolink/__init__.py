"""picolink: a two-way Bluetooth LE message link for Raspberry Pi Pico W boards, and PCs.

    async with picolink.advertise("PicoA") as link:  # on the other board: picolink.connect("PicoA")
        await link.send({"t": 21.5, "on": True})
        async for message in link:
            print(message)

Both are context managers that wait for the other board and give a Link. On a PC, which can only connect,
connect_sync() is the same without asyncio.
"""

from . import radio as _radio
from . import wire as _wire
from .errors import FileError as FileError
from .errors import LinkClosedError as LinkClosedError

__version__ = _wire.VERSION


def advertise(name, radio=None, services=(), **options):
    """A link whose board advertises `name` (str, 1 to 28 bytes of UTF-8) and waits for the other one.

    radio: see picolink.radio; None: the board's own.   options: see picolink.link.Link.
    services: aioble.Service objects that the program offers too; it must not register them itself.
    Raises TypeError or ValueError for a name that cannot be advertised.
    """
    return _link((radio or _radio.default()).advertise(name, services), options)


def connect(name, radio=None, **options):
    """A link whose board, or PC, looks for the one that advertises `name`, and connects to it.

    Arguments and errors as advertise(), without services: register those as you like.
    """
    return _link((radio or _radio.default()).connect(name), options)


def meet(name, radio=None, services=(), **options):
    """A link of boards that run the same program: they agree by themselves which one advertises.

    In turn each advertises `name` and looks for it, until they have met; and again after each drop. It takes
    about a second, and meanwhile the radio listens half of the time. A board, PC or page that connects to
    `name` finds such a board, too.   Arguments and errors as advertise(); a PC cannot meet.
    """
    return _link((radio or _radio.default()).meet(name, services), options)


def connect_sync(name, radio=None, **options):
    """On a PC: as connect(), for programs without asyncio: see picolink.blocking.BlockingLink."""
    from .blocking import BlockingLink

    return BlockingLink(name, radio, options)


def send_file(link, path, name=None, progress=None, timeout_ms=None):
    """`await picolink.send_file(link, "log.csv")`: returns when the other side has the whole file, safe.

    path: of the file here.   name: there, below the receiver's folder; None: the same, without folders.
    progress: called as progress(done, size), in bytes, as the file goes out.
    timeout_ms: the longest wait for the other side (int, ms; None: for ever); then asyncio.TimeoutError.
    It goes on where it was after a drop, and when either side has restarted and sends or receives the file
    again. Raises FileError (the other side refuses it, or nobody receives there for 30 s), OSError (the file
    here), LinkClosedError.
    Files of one link go one after the other; all else goes on meanwhile. docs/files.md
    """
    from . import files

    return files.send_file(link, path, name, progress, timeout_ms)


def receive_files(link, folder, allow=None, programs=False, give=False, progress=None):
    """`async for path in picolink.receive_files(link, "inbox"):` each file that comes, until the end.

    folder: files come below it, nowhere else.   allow: called with a name; whether it may be written.
    programs: whether names that end in .py or .mpy are allowed; ValueError on a link without a key.
    give: whether the other side may fetch the files that are there.
    progress: called as progress(name, done, size).
    While a file comes, it is beside the old one and ends in ".part".
    """
    from .receiving import FileReceiver

    return FileReceiver(link, folder, allow, programs, give, progress)


def fetch_file(link, name, path, progress=None, timeout_ms=None):
    """`await picolink.fetch_file(link, "log.csv", "log.csv")`: what the other side has, with give=True.

    name: there.   path: here.   The rest is as with send_file(); progress(name, done, size).
    """
    from . import receiving

    return receiving.fetch_file(link, name, path, progress, timeout_ms)


def try_program(path, within_ms=60_000):
    """Put the file `path` in the place of main.py and restart the board: unless it says keep() within that
    time, fails, hangs or restarts, the old main.py comes back.

    boot.py has to hold `import picolink.trial; picolink.trial.boot()`. docs/files.md
    Raises OSError if one of the two files is missing, RuntimeError while this program is on trial itself.
    """
    from . import trial

    trial.try_program(path, within_ms)


def keep(feed=True):
    """This program stays: to be called when it has shown that it works, above all that it can be replaced.

    Without a trial it does nothing.   feed: whether picolink goes on feeding the watchdog, which a trial has
    started and nothing stops; False: the program does that, within 8 s from now.
    """
    from . import trial

    trial.keep(feed)


def help():  # noqa: A001 - as MicroPython names its own
    """Print how to use this, in ten lines."""
    from .manual import TEXT

    print(TEXT)


def pack(value):
    """An object as MessagePack, in bytes: see picolink.objects.pack()."""
    _load_codec()
    return pack(value)  # the engine's


def unpack(data):
    """The object that these bytes are: see picolink.objects.unpack()."""
    _load_codec()
    return unpack(data)


def _load_codec():
    # Only now: a program that sends bytes and text has no need of it.
    global pack, unpack
    from .engine import codec

    pack, unpack = codec()


def _link(role, options):
    from .link import Link

    return Link(role, **options)
