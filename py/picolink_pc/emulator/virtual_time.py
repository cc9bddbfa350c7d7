"""An asyncio event loop in virtual time, which emulated boards advance with.

Everything on the loop takes no time at all; time passes where a loop waits.  There, boards run to where the
loop goes.  Whatever passes between a board and the loop is on its way for `LATENCY_NS`, in both directions.
So what a board does matters to nobody else before that is over, and boards may run at the same time without
a look at each other for that long: the outcome is the same as in one process that always runs the board that
is furthest behind.

Real sockets and child processes work on this loop, too; what comes from them depends on real time.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable
from typing import Protocol

LATENCY_NS = 250_000
"""Between the radio chip's memory, which its host writes to and reads, and its controller: assumed."""

_CATCH_UP_NS = 20_000_000
"""A loop with a pace that is further behind than this has that time lost."""


class Participant(Protocol):
    """Something that lives in the loop's time but is not run by it.  Times are in ns."""

    def idle_until(self) -> float:
        """Before this time nothing comes from it, unless something comes to it."""

    def begin(self, to_ns: int) -> None:
        """Start running to `to_ns`, or, if it can't stop there, a little further."""

    def finish(self) -> None:
        """Wait for that; tell the loop by `VirtualTimeLoop.arrive` what came of it."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Use it as loop_factory of asyncio.Runner.

    pace: virtual seconds in a real one, at most; None: as fast as it goes.
    """

    def __init__(self, pace: float | None = None) -> None:
        self.now_ns = 0
        self.participants: list[Participant] = []
        self._pace = pace
        self._origin_ns = time.monotonic_ns()  # the real time at which virtual time was 0
        self._arrival_ns: float = math.inf  # the first thing that a participant has caused since it was reset
        self._real = _WaitingSelector(self)
        super().__init__(self._real)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual time, in s."""
        return self.now_ns / 1e9

    def arrive(self, sent_ns: int, callback: Callable[..., object], *args: object) -> None:
        """What a participant did at `sent_ns` takes effect `LATENCY_NS` later: by `callback(*args)`."""
        at_ns = max(sent_ns + LATENCY_NS, self.now_ns)
        self._arrival_ns = min(self._arrival_ns, at_ns)
        self.call_at(at_ns / 1e9, callback, *args)

    def reaches_board_ns(self) -> int:
        """When something that is sent to a board now will be there."""
        return self.now_ns + LATENCY_NS

    def wait(self, timeout: float | None) -> list:
        """Let `timeout` seconds pass, or until something happens.  What has happened on real sockets."""
        target_ns = math.inf if timeout is None else self.now_ns + round(timeout * 1e9)
        while True:
            known_ns = min((p.idle_until() for p in self.participants), default=math.inf) + LATENCY_NS
            goal_ns = min(target_ns, known_ns)
            if goal_ns == math.inf:
                return self._real.poll(None)
            if goal_ns > self.now_ns:
                events = self._pass_real_time(goal_ns)
                if events:
                    return events
                self.now_ns = int(goal_ns)
            if self.now_ns >= target_ns:
                return []
            self._run_participants(self.now_ns + LATENCY_NS)
            target_ns = min(target_ns, self._arrival_ns)

    def _run_participants(self, to_ns: int) -> None:
        self._arrival_ns = math.inf
        busy = [p for p in self.participants if p.idle_until() < to_ns]
        for participant in busy:
            participant.begin(to_ns)
        for participant in busy:
            participant.finish()

    def _pass_real_time(self, goal_ns: float) -> list:
        """With a pace: wait until it is time for `goal_ns`.  Events of sockets come before that."""
        if self._pace is None:
            return []
        real_ns = time.monotonic_ns()
        due_ns = self._origin_ns + int(goal_ns / self._pace)
        if real_ns - due_ns > _CATCH_UP_NS:
            self._origin_ns += real_ns - due_ns
        events = self._real.poll(max(0, due_ns - real_ns) / 1e9)
        if events:
            reached_ns = int((time.monotonic_ns() - self._origin_ns) * self._pace)
            self.now_ns = max(self.now_ns, min(int(goal_ns), reached_ns))
        return events


class _WaitingSelector(selectors.DefaultSelector):
    """Where the loop waits."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def poll(self, timeout: float | None) -> list:
        """Wait in real time."""
        return super().select(timeout)

    def select(self, timeout: float | None = None) -> list:
        events = self.poll(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        return self._loop.wait(timeout)
