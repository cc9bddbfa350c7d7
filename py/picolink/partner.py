"""The partner of a link with remember=True: its identity, in a small file for each name."""

import binascii
import os


def _path(folder, name):
    return "%spicolink-%08x.id" % (folder, binascii.crc32(name.encode()))


def load(folder, name):
    """The identity (8 bytes) that was saved under this name, or None.

    folder: with a separator at its end; "": the current one.
    """
    try:
        with open(_path(folder, name), "rb") as file:
            identity = file.read()
    except OSError:
        return None
    return identity if len(identity) == 8 and any(identity) else None


def save(folder, name, identity):
    """Written once, not again while it stays the same. Raises OSError."""
    if load(folder, name) != identity:
        with open(_path(folder, name), "wb") as file:
            file.write(identity)


def remove(folder, name):
    try:
        os.remove(_path(folder, name))
    except OSError:
        pass  # there is none
