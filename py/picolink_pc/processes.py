"""Work for all processors of this PC."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def in_processes(
    work: Callable[[Task], Outcome], tasks: Iterable[Task], processes: int | None = None
) -> Iterator[tuple[Task, Outcome]]:
    """Each task with its outcome, as they are done. Ctrl-C ends the rest.

    work: a function of a module.   processes: at a time; None: one for each processor.
    """
    with ProcessPoolExecutor(processes, initializer=_leave_ctrl_c_to_the_parent) as pool:
        try:
            futures = {pool.submit(work, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
