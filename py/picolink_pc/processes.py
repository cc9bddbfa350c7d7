"""Work for all processors of this PC."""

import contextlib
import multiprocessing
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
    # Not with `with`: that takes the cancelling back when it waits for the rest.
    pool = ProcessPoolExecutor(processes, initializer=_leave_ctrl_c_to_the_parent)
    try:
        with _ctrl_c_held_back():
            futures = {pool.submit(work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:  # Ctrl-C is one, and nobody wants the rest any more
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """It comes at the end. While Python forks it can be lost: an exception in its hooks is only printed."""
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
