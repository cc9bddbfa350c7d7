"""Which messages of a board come again after this gateway was killed.

The board keeps what it was not told to be committed. If the gateway is killed between its disk and that
word, the board begins with messages that are stored here already: a run that ends where the store ends.
"""

import hashlib
from collections import deque

RING = 32768
"""Bytes: the largest ring that a board can have."""


class Repeats:
    """next: number of the board's next new message."""

    def __init__(self, stored: list[tuple[int, int, bytes]], next_number: int, told: bool) -> None:
        """stored: (number, size, mark) of the last, oldest first.   told: the board knows of all."""
        self.next = next_number
        self.told = told
        self._stored = deque(stored)
        self._size = sum(size for _, size, _ in stored)
        self._unsaved: list[tuple[int, int, bytes]] = []
        self._at: int | None = None  # place in `stored` of the message that is to come again; 0: anywhere

    def meet(self) -> None:
        """A link begins: what it brings first may be stored already."""
        self._at = None if self.told else 0
        self.told = False

    def number(self, messages: list[tuple[int, bytes]]) -> list[tuple[int, bool]]:
        """The number of each (channel, message), and whether it is new. Remembers them.

        Equal numbers mean the same message. What cannot be told from one that comes again, because it is
        equal to the last ones, is taken for that.
        """
        marks = [mark(channel, message) for channel, message in messages]
        known = self._known(marks)
        numbers = [(number, False) for number in known]
        for (_, message), seen in list(zip(messages, marks, strict=True))[len(known) :]:
            numbers.append((self.next, True))
            self._stored.append((self.next, len(message) + 2, seen))
            self._unsaved.append(self._stored[-1])
            self._size += len(message) + 2
            self.next += 1
        while self._size > RING + 2:
            self._size -= self._stored.popleft()[1]
        return numbers

    def unsaved(self, board: str) -> list[tuple[str, int, int, bytes]]:
        """Rows for the store: what was added since the last call."""
        rows, self._unsaved = self._unsaved, []
        return [(board, *entry) for entry in rows]

    def oldest(self) -> int:
        """Number of the oldest message that is remembered."""
        return self._stored[0][0] if self._stored else self.next

    def _known(self, marks: list[bytes]) -> list[int]:
        """Numbers of those at the beginning that come again."""
        if self._at is None or not marks:
            return []
        stored = list(self._stored)
        seen = [entry[2] for entry in stored]
        # Between calls the run goes on where it was; at first it may begin anywhere.
        starts = range(len(stored)) if self._at == 0 else (self._at,)
        for start in starts:
            length = min(len(seen) - start, len(marks))
            if seen[start : start + length] == marks[:length]:
                self._at = start + length if start + length < len(seen) else None
                return [entry[0] for entry in stored[start : start + length]]
        self._at = None
        return []


def mark(channel: int, message: bytes) -> bytes:
    """Names a message by its content."""
    return hashlib.blake2b(message, digest_size=8, salt=bytes((channel,))).digest()
