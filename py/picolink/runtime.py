"""What MicroPython and CPython do differently: const, time in ms, sleeping, a flag that handlers set."""
# ruff: noqa: F401

try:
    from asyncio import core, sleep_ms
    from io import IOBase
    from sys import print_exception
    from time import ticks_add, ticks_diff, ticks_ms

    from micropython import const

    class Flag(IOBase):
        """As ThreadSafeFlag, for one task, but asyncio knows it from register() to release().

        ThreadSafeFlag is made known at each wait. That needs memory; where there is none, asyncio may crash.
        """

        def __init__(self):
            # In each turn asyncio asks ioctl(3, flags) whether the task can go on: a method in Python would
            # take five times as long. 4 is to close it, and 10 asks for a file: there is none.
            self._answer = {3: 0, 4: -1, 10: -1}
            self.ioctl = self._answer.get
            self._is_set = self._is_awaited = 0
            self._entry = None  # asyncio's, of who waits

        def register(self):
            queue = core._io_queue
            self._is_awaited = self._answer[3] = 0
            if id(self) not in queue.map:
                entry = [None, self, self]  # who waits to read, and to write: nobody, but that keeps it there
                queue.poller.register(self, 1)  # 1: readable
                queue.map[id(self)] = entry
            self._entry = queue.map[id(self)]

        def release(self):
            queue = core._io_queue
            if id(self) in queue.map:
                queue._dequeue(self)

        def set(self):
            self._is_set = 1
            self._answer[3] = self._is_awaited

        async def wait(self):
            self._is_awaited = 1
            if not self._is_set:
                # As queue_read(), which would look for the entry and tell the poller what ioctl() knows.
                task = core.cur_task
                task.data = core._io_queue
                self._entry[0] = task
                yield
            self._is_awaited = self._is_set = self._answer[3] = 0

except ImportError:
    from .cpython import Flag, const, print_exception, sleep_ms, ticks_add, ticks_diff, ticks_ms
