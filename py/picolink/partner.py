"""The partner of a link with remember=True: its identity, in a small file for each name."""

import binascii
import os

_folder = ""


def keep_in(folder):
    """Where the files are: on a PC; a board has them where its program runs."""
    global _folder
    _folder = str(folder) + os.sep


def _path(name):
    return "%spicolink-%08x.id" % (_folder, binascii.crc32(name.encode()))


def load(name):
    """The identity (8 bytes) that was saved under this name, or None."""
    try:
        with open(_path(name), "rb") as file:
            identity = file.read()
    except OSError:
        return None
    return identity if len(identity) == 8 and any(identity) else None


def save(name, identity):
    """Written once, not again while it stays the same. Raises OSError."""
    if load(name) != identity:
        with open(_path(name), "wb") as file:
            file.write(identity)


def remove(name):
    try:
        os.remove(_path(name))
    except OSError:
        pass  # there is none
