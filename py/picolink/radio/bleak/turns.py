"""Who may scan or connect: host stacks do one of these at a time, and bleak leaves it to the program."""

import asyncio
import contextlib
import weakref


class Turns:
    """A lock for each event loop: programs may have several, one after the other or in threads."""

    def __init__(self):
        self._locks = weakref.WeakKeyDictionary()
        self._waiting = weakref.WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def turn(self):
        loop = asyncio.get_running_loop()
        lock = self._locks.setdefault(loop, asyncio.Lock())
        self._waiting[loop] = self._waiting.get(loop, 0) + 1
        try:
            await lock.acquire()
        finally:
            self._waiting[loop] -= 1
        try:
            yield
        finally:
            lock.release()

    def wanted(self):
        """Does somebody wait for a turn?"""
        return self._waiting.get(asyncio.get_running_loop(), 0) > 0
