"""What MicroPython and CPython do differently: const, time in ms, sleeping, a flag that handlers set."""
# ruff: noqa: F401

try:
    from asyncio import ThreadSafeFlag, core, sleep_ms
    from sys import print_exception
    from time import ticks_add, ticks_diff, ticks_ms

    from micropython import const

    class Flag(ThreadSafeFlag):
        """A ThreadSafeFlag that asyncio knows from register() to release(), for one task.

        Others are made known at each wait. That needs memory, and where there is none, asyncio may crash.
        """

        def ioctl(self, request, flags):
            return self.state & flags if request == 3 else -1  # 3: poll. Never writable

        def register(self):
            queue = core._io_queue
            if id(self) not in queue.map:
                entry = [None, self, self]  # who waits to read, and to write: nobody, but that keeps it there
                queue.poller.register(self, 1)  # 1: readable
                queue.map[id(self)] = entry

        def release(self):
            queue = core._io_queue
            if id(self) in queue.map:
                queue._dequeue(self)

except ImportError:
    from .cpython import Flag, const, print_exception, sleep_ms, ticks_add, ticks_diff, ticks_ms
