"""Virtual time: actions in order of their time, and of their asking when the times are equal."""

import heapq
from collections.abc import Callable


class Scheduler:
    """now_us: the present, in us; it only moves in run()."""

    def __init__(self) -> None:
        self.now_us = 0
        self._actions: list[tuple[int, int, Callable[..., None], tuple]] = []
        self._asked = 0

    def at(self, time_us: float, action: Callable[..., None], *arguments: object) -> None:
        """Call `action` at a time; one in the past means now."""
        self._asked += 1
        heapq.heappush(self._actions, (max(int(time_us), self.now_us), self._asked, action, arguments))

    def run(self, until_us: int) -> None:
        """Do everything up to and including `until_us`."""
        actions = self._actions
        while actions and actions[0][0] <= until_us:
            self.now_us, _, action, arguments = heapq.heappop(actions)
            action(*arguments)
        self.now_us = until_us
