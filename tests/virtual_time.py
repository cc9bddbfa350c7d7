"""An event loop in virtual time: a sleep takes no longer than what others do meanwhile."""

import asyncio
import selectors
from collections.abc import Coroutine


class _Selector(selectors.SelectSelector):
    """Waits for nothing: the time that it is to wait is over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self.now_s += max(timeout, 1e-6)  # a turn takes some time, so that a task that never waits gets on
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, start_s: float) -> None:
        self._virtual = _Selector()
        self._virtual.now_s = start_s
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def run(work: Coroutine, start_s: float = 0.0) -> object:
    """As asyncio.run().   start_s: what the clock shows when it begins."""
    runner = asyncio.Runner(loop_factory=lambda: _Loop(start_s))
    try:
        result = runner.run(work)
    except BaseException:
        # Not its close(): that cancels what still runs, which links take for a drop, and waits for ever.
        runner.get_loop().close()
        raise
    runner.close()
    return result
