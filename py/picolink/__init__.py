"""picolink: a two-way Bluetooth LE message link for Raspberry Pi Pico W boards, and PCs.

    async with picolink.advertise("PicoA") as link:  # on the other board: picolink.connect("PicoA")
        await link.send("hello")
        async for message in link:
            print(message)

Both are context managers that wait for the other board and give a Link. On a PC, which can only connect,
connect_sync() is the same without asyncio.
"""

from . import radio as _radio
from . import wire as _wire
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


def connect_sync(name, radio=None, **options):
    """On a PC: as connect(), for programs without asyncio: see picolink.blocking.BlockingLink."""
    from .blocking import BlockingLink

    return BlockingLink(name, radio, options)


def help():  # noqa: A001 - as MicroPython names its own
    """Print how to use this, in ten lines."""
    from .manual import TEXT

    print(TEXT)


def _link(role, options):
    from .link import Link

    return Link(role, **options)
