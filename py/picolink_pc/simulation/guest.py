"""A third board that speaks picolink, and connects to one of two."""

import random
from typing import Any

from .board import Board
from .scheduler import Scheduler

IDENTITY = b"a guest."

_STEP_US = 10_000
_MTU = 247


class Guest:
    """engine_class: with the interface of picolink.pyengine.Engine.

    turned_up_late: whether the other board had another partner already.
    opened: whether a handshake was done.
    got: messages that the other board has sent it.
    """

    def __init__(self, engine_class: type, scheduler: Scheduler, rng: random.Random):
        self.got: list[bytes] = []
        self.turned_up_late = False
        self._engine: Any = engine_class(rng.randrange(1, 1 << 32), IDENTITY)
        self._engine.send(b"from a guest")
        self._scheduler = scheduler
        self._board: Board | None = None

    @property
    def opened(self) -> bool:
        return bool(self._engine.stats()["opened"])

    def connect(self, board: Board) -> None:
        self._board = board
        self.turned_up_late |= board.engine.partner not in (None, IDENTITY)
        self._engine.start(_MTU, self._now_ms)
        self._step()

    def leave(self) -> None:
        """The connection is over."""
        self._board = None

    def hear(self, packet: bytes) -> None:
        """The board has sent this."""
        if packet:
            self._engine.feed(packet, self._now_ms)

    @property
    def _now_ms(self) -> int:
        return self._scheduler.now_us // 1000 & 0x3FFFFFFF

    def _step(self) -> None:
        if not self._board:
            return
        while message := self._engine.recv(True):
            self.got.append(message[1])
        packet = bytearray(236)
        while size := self._engine.pull_into(packet, self._now_ms):
            self._board.deliver(bytes(packet[:size]))
        self._scheduler.at(self._scheduler.now_us + _STEP_US, self._step)
