"""What MicroPython and CPython do differently: const, time in ms, sleeping, flags that handlers set."""
# ruff: noqa: F401

try:
    from asyncio import core, sleep_ms
    from io import IOBase
    from sys import print_exception
    from time import ticks_add, ticks_diff, ticks_ms

    from micropython import const

    class Flag(IOBase):
        """As ThreadSafeFlag, for one task, which need not wait for ever; asyncio knows it from register() to
        release().

        ThreadSafeFlag is made known at each wait. That needs memory; where there is none, asyncio may crash.

        other: a Flag that this one makes known, too. asyncio asks each that it knows again and again.
        """

        def __init__(self, other=None):
            self._task = None  # who waits; asyncio has it among those that wait for a time
            self._is_set = False
            self._known = self
            self._other = other
            if other:
                other._known = self
            # asyncio asks ioctl(3, flags) whether somebody can go on: a method in Python takes five times as
            # long. So ioctl is one of two: while nobody can go on, the get of a dict, in C; else _wake, which
            # looks who can. 4 is to close it, and 10 asks for a file: there is none.
            self._answers = {3: 0, 4: -1, 10: -1}
            self.ioctl = self._not_set = self._answers.get
            self._when_set = self._wake

        def register(self):
            queue = core._io_queue
            self._task = None
            if id(self) not in queue.map:
                queue.poller.register(self, 1)  # 1: readable
                # Who waits to read, and to write: nobody, but that keeps it there.
                queue.map[id(self)] = [None, self, self]

        def release(self):
            queue = core._io_queue
            if id(self) in queue.map:
                queue._dequeue(self)

        def set(self):
            """Handlers may call it: it leaves asyncio's queues alone."""
            self._is_set = True
            known = self._known
            known.ioctl = known._when_set

        def end(self):
            """As set(), at once: only for tasks. asyncio need not know it."""
            self._is_set = True
            self._go_on()

        def _wake(self, request, _flags):
            """As ioctl(). asyncio calls it while no task runs, so who waits is in the queue for sure."""
            if request != 3:
                return -1
            self.ioctl = self._not_set
            other = self._other
            woken = other._go_on() if other and other._is_set else 0
            return woken | (self._go_on() if self._is_set else 0)

        def _go_on(self):
            """Whether somebody has waited who now goes on."""
            task = self._task
            self._task = None
            # Who was cancelled is among those that go on now, and asyncio keeps in `data` that it was.
            if task is None or task.data:
                return 0
            core._task_queue.remove(task)
            core._task_queue.push(task)
            return 1

        # A generator can be awaited, too, and asks asyncio for a time itself: a coroutine with sleep_ms() in
        # it takes three calls more.
        def wait(self, ms):
            """Until it is set, but not longer than this (int, ms); then it is not set any more."""
            if not self._is_set:
                self._task = task = core.cur_task
                core._task_queue.push(task, ticks_add(ticks_ms(), ms))
                try:
                    yield
                finally:
                    self._task = None
            self._is_set = False

    async def _nothing():
        pass

    DONE = _nothing()  # to await, again and again: a coroutine that is over
    try:
        DONE.send(None)
    except StopIteration:
        pass

except ImportError:
    from .cpython import DONE, Flag, const, print_exception, sleep_ms, ticks_add, ticks_diff, ticks_ms
