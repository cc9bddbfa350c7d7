# What the files of file_sender.py hold; also for the PC.

_PATTERN = 251


def pieces(number, size):
    """The content of a file in pieces: of its number and size (int)."""
    pattern = bytes((number * 31 + i * i) & 0xFF for i in range(_PATTERN)) * 4
    for at in range(0, size, len(pattern)):
        yield pattern[: size - at]
