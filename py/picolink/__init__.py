"""picolink: a two-way Bluetooth LE message link for Raspberry Pi Pico W boards.

    async with picolink.advertise("PicoA") as link:  # on the other board: picolink.connect("PicoA")
        await link.send("hello")
        async for message in link:
            print(message)

Both are context managers that wait for the other board and give a Link.
"""

from .errors import LinkClosedError as LinkClosedError

__version__ = "0.1.0"


def advertise(name, **options):
    """A link whose board advertises `name` (str, 1 to 28 bytes of UTF-8) and waits for the other one.

    Options: see picolink.link.Link. Raises TypeError or ValueError for a name that cannot be advertised.
    """
    from .peripheral import Peripheral

    return Peripheral(name, **options)


def connect(name, **options):
    """A link whose board looks for the one that advertises `name`, and connects to it.

    Options: see picolink.link.Link. Raises TypeError or ValueError for a name that cannot be advertised.
    """
    from .central import Central

    return Central(name, **options)
