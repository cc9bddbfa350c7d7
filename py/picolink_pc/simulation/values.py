"""Boards that set a value again and again, of which only the newest counts, beside their other messages."""

import struct
from typing import Any

from picolink import flags as fl
from picolink.newest import Newest, Values

from .board import Board

_CHANNEL = 15
_VALUE = struct.Struct("<I12x")  # its number
_STEP_US = 1000
_KIND = fl.NEWEST << 4


class ValuesBoard(Board):
    """values_every_us: how often it sets a value (class attribute; 0: never).

    set_at_us: of each value, when it was set.   seen: the number of the newest value that has come; -1: none.
    """

    values_every_us = 5000

    def power_on(self) -> None:
        super().power_on()
        self.set_at_us: list[int] = []
        self.seen = -1
        Values(self.policy)
        link: Any = None  # only its channel's send() is used
        self._value = Newest(_CHANNEL, self.policy, link)
        self.policy.values.channels.append(self._value)
        self._setting = False

    def begin_values(self) -> None:
        self._setting = True
        self._do(self._set_value)

    def end_values(self) -> None:
        self._setting = False

    def _set_value(self) -> float:
        if self._setting:
            self._value.send(_VALUE.pack(len(self.set_at_us)))
            self.set_at_us.append(self._scheduler.now_us)
            self._do(self._set_value, self._scheduler.now_us + self.values_every_us)
        return 0

    def age_us(self) -> int | None:
        """Of the value that this board's program sees; None: it sees none."""
        return None if self.seen < 0 else self._scheduler.now_us - self.peer.set_at_us[self.seen]

    def _check(self, channel: int, message: bytes) -> None:
        if not channel & _KIND:
            super()._check(channel, message)
            return
        (number,) = _VALUE.unpack(message)
        if number <= self.seen:
            self.received.errors.append(f"{self.name}: value {number} came after {self.seen}")
        self.seen = number
