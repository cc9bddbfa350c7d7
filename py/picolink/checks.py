"""What both engines say of a wrong argument; the native one loads this only then."""

# What is wrong: places in _TEXTS, and in native/modpicolink.c.
NO_INT = 0
NO_BYTES = 1
NO_MESSAGE = 2
RANGE = 3
POWER = 4
IDENTITY = 5
SECRET = 6
KIND = 7
COMMIT = 8
LONG = 9
BUFFER = 10
PACKET = 11

_TEXTS = (
    "{0} must be an int, not {1!r}",
    "{0} must be bytes, not {1!r}",
    "a message must be bytes, bytearray, memoryview or str, not {1!r}",
    "{0} must be {2} to {3}, not {1}",
    "{0} must be a power of two from 256 to 32768, not {1}",
    "{0} must be 8 bytes that are not all 0, not {1!r}",
    "{0} must be 32 bytes",  # nothing of it is shown
    "{0} must be 0, 1, 2, 4, 5 or 6, not {1}",
    "this engine was made without commit=True",
    "a message of {0} bytes never fits: {1} with its header at most",
    "the next message has {0} bytes, the buffer only {1}",
    "the packet buffer must have {0} bytes, not {1}",
)

LIMITS = {
    "session": (1, 0xFFFFFFFF),
    "tx_size": (256, 32768),
    "rx_size": (256, 32768),
    "window": (256, 65535),
    "mtu": (23, 517),
    "reason": (1, 255),
    "channel": (0, 15),
}
"""The least and the largest of what must be in a range."""


def wrong(what, a, b):
    """Raises TypeError or ValueError.   a, b: its name and its value, or two sizes in bytes."""
    limits = LIMITS[a] if what == RANGE else ()
    raise (ValueError if what > NO_MESSAGE else TypeError)(_TEXTS[what].format(a, b, *limits))
