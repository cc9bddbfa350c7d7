"""Keys as a program has them: bytes, the text that `picolink key new` prints, or the file that `picolink key
install` puts on a board. Only a link with a key loads this.
"""

import binascii
import os
import sys
from hashlib import sha256

from .runtime import const

FILE = "picolink.key"  # holds the text
STARTS = "picolink.starts"  # how many links with a key were made here: 4 bytes
COUNTS = sys.implementation.name == "micropython"  # a PC's random numbers are good enough without

_LEAST = const(16)  # bytes
_VALUES = const(16)  # different ones in 128 bytes; about 100 are usual
BEGIN = "picolink-key-"
_TEXT = "a key as text is what `picolink key new` prints; a password is no key: it can be guessed"


def text(key):
    """32 random bytes as text, with a check of typing errors."""
    return "%s%s-%08x" % (BEGIN, binascii.hexlify(key).decode(), binascii.crc32(key))


def secret(key, folder=""):
    """The 32 bytes that an engine wants.

    key: bytes-like, 16 random bytes or more; str, as text() gives it; True: the file of this board.
    folder: where that is, with a separator at its end; "": the current one.
    Raises TypeError or ValueError for what is no key, OSError where there is no file.
    """
    if key is True:
        with open(folder + FILE) as file:
            key = file.read().strip()
    if isinstance(key, str):
        key = _from_text(key)
    elif isinstance(key, (bytes, bytearray, memoryview)):
        if len(key) >= _LEAST and (len(set(key)) == 1 or all(32 <= byte < 127 for byte in key)):
            raise ValueError("a key as bytes must be random; this one could be guessed")
    else:
        raise TypeError(
            "a key must be bytes, str or True; for a link without one, leave it out"
        )  # and no value
    if len(key) < _LEAST:
        raise ValueError("a key must have %d bytes or more, not %d" % (_LEAST, len(key)))
    return sha256(b"picolink key" + bytes(key)).digest()


def _from_text(key):
    try:
        value = binascii.unhexlify(key[len(BEGIN) : -9])
    except ValueError:
        value = b""
    if len(value) != 32 or text(value) != key:
        raise ValueError(_TEXT)
    return value


def fingerprint(secret):
    """Eight digits that tell whether two boards have the same key, and nothing else of it."""
    return binascii.hexlify(sha256(b"picolink fingerprint" + secret).digest()[:4]).decode()


def of_link(secret, name):
    """The 32 bytes for the link of this name: who has the key cannot be led to the board of another name."""
    return sha256(b"picolink link" + sha256(name.encode()).digest() + secret).digest()


def seed(identity, folder=None):
    """32 bytes that no other session has had.

    A byte of an RP2040's urandom() is 8 samples of a ring oscillator, one soon after the other: 128 of them
    are mixed to 32, with the board's identity. The engine mixes the key into what it draws from them.
    folder: where sessions are counted, as in secret(), so that seeds differ even where these bytes repeat;
        None: nowhere.
    Raises RuntimeError where they are hardly random at all.
    """
    drawn = os.urandom(128)
    if len(set(drawn)) < _VALUES:
        raise RuntimeError("os.urandom() of this board is stuck: a link with a key is not safe with it")
    return sha256(drawn + identity + (b"" if folder is None else _count(folder + STARTS))).digest()


def _count(path):
    """The next number, kept before it is used.

    Where it cannot be kept, only urandom() makes seeds differ: a link must also open on a board whose flash
    is full.
    """
    try:
        with open(path, "rb") as file:
            number = int.from_bytes(file.read(), "little") + 1
    except OSError:
        number = 1
    number = (number & 0xFFFFFFFF).to_bytes(4, "little")
    try:
        with open(path, "wb") as file:
            file.write(number)
    except OSError:
        pass
    return number
