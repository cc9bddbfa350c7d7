# The messages of a chaos run: whose they are, when they were sent, and bytes that depend on their number.

import struct
import time

CLOCK_OFFSET_US = 0  # emulated boards have another

_HEAD = "<IIQ"  # life of the sender, number, when it was sent in us
_FILLING = bytes(range(256)) * 5
LEAST = struct.calcsize(_HEAD)  # bytes: the last message of a life has no more


def now_us():
    return time.time_ns() // 1000 + CLOCK_OFFSET_US


def size_of(number):
    """Bytes of a message: mostly small, one in eight up to 1,000; never LEAST."""
    mixed = (number * 2654435761 >> 8) & 0xFFFF
    return LEAST + 8 + mixed % (976 if number % 8 == 7 else 64)


def pack(life, number, now_us, size):
    start = (number ^ number >> 8 ^ number >> 16) & 0xFF
    return struct.pack(_HEAD, life, number, now_us) + _FILLING[start : start + size - LEAST]


def unpack(message):
    """(life, number, when it was sent in us). Raises ValueError for a message that was never sent."""
    if len(message) < LEAST:
        raise ValueError("too short")
    life, number, sent_us = struct.unpack_from(_HEAD, message)
    if message != pack(life, number, sent_us, len(message)) or len(message) not in (LEAST, size_of(number)):
        raise ValueError("damaged")
    return life, number, sent_us
