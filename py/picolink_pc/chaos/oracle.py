"""What two virtual boards have read, held against what docs/protocol.md promises."""

from collections import Counter

from ..radio.air import record_octets
from .programs.messages import size_of

RING = 8192
"""Bytes of a board's receive ring: the default of picolink's links."""


class Oracle:
    """One direction: from a sender to a receiver, each of which may have several lives, counted from 0.

    errors: the promises broken, a line each.   counts: what happened to messages.
    """

    def __init__(self, name: str) -> None:
        self.errors: list[str] = []
        self.counts: Counter[str] = Counter()
        self._name = name
        self._sender = self._receiver = 0
        self._next: dict[tuple[int, int], int] = {}  # (sender's life, receiver's life): next message
        self._met: dict[int, int] = {0: 0}  # sender's life: the first receiver's that was there with it
        self._again: Counter[int] = Counter()  # sender's life: messages that a second life has read too
        self._resent: Counter[int] = Counter()  # sender's life: what it has counted as sent again

    def sender_restarts(self) -> None:
        """What it had not delivered is lost with its memory."""
        self._sender += 1
        self._met[self._sender] = self._receiver

    def receiver_restarts(self) -> None:
        """What lay unread in its ring is lost with its memory."""
        self._receiver += 1

    def resent(self, messages: int) -> None:
        """The sender says how many messages it has sent again to restarted peers, in its life."""
        self._resent[self._sender] = messages

    def got(self, life: int, first: int, following: int) -> None:
        """The receiver has read messages `first` up to `following` of a life of the sender."""
        key = life, self._receiver
        self.counts["messages"] += following - first
        if key not in self._next:
            self._begin(life, first)
        elif first != self._next[key]:
            self._error(f"message {first} came instead of {self._next[key]}")
        self._next[key] = following

    def end(self, sent: int) -> None:
        """It is over: this many messages the sender's last life has sent, and everything has been read."""
        came = self._next.get((self._sender, self._receiver), 0)
        if came != sent:
            self._error(f"{sent} messages were sent, and {came} came")
        for life, again in self._again.items():
            if again > self._resent[life]:
                self._error(f"{again} messages came a second time, and {self._resent[life]} were counted")

    def _begin(self, life: int, first: int) -> None:
        """The first message that a life of the receiver has from a life of the sender."""
        if any(sender > life for sender, receiver in self._next if receiver == self._receiver):
            self._error(f"message {first} of life {life} came after those of a later one")
        if self._met.get(life) == self._receiver:
            if first:
                self._error(f"message {first} came instead of the first one of life {life}")
            return
        # It goes on where the dead one was. What that had acknowledged and not read is lost with its ring.
        read = max((number for (sender, _), number in self._next.items() if sender == life), default=0)
        if first < read:
            self._again[life] += read - first
            self.counts["messages again after a restart"] += read - first
        lost = range(read, first)
        self.counts["messages lost unread with a board's memory"] += len(lost)
        if sum(record_octets(size_of(number)) for number in lost) > RING:
            self._error(f"messages {read} to {first - 1} did not come: more than the dead board's ring holds")

    def _error(self, text: str) -> None:
        self.errors.append(f"{self._name}: {text}")
