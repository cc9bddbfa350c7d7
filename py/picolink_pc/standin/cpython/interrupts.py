"""Work for the main thread between two bytecodes of the program, as by MicroPython's micropython.schedule.

No signals: the same on every operating system. What the program waits in (an event loop, time.sleep) is
woken.
"""

import asyncio
import collections
import ctypes
import sys
import threading
import time
import traceback

_waiting = collections.deque()  # (function, argument)
_loops = []  # the event loop that was made last
_woken = threading.Lock()  # held, unless somebody who sleeps has to wake up
_woken.acquire()


def schedule(function, argument):
    """Call function(argument) soon, in the main thread. May be called by any thread."""
    _waiting.append((function, argument))
    # The queue is short; when it is full, what is in it will do this work, too.
    ctypes.pythonapi.Py_AddPendingCall(_run_waiting_in_c, None)
    wake()


def wake():
    """End what the main thread waits in; it goes on waiting when there is nothing for it."""
    try:
        _woken.release()
    except RuntimeError:
        pass  # it has been told already
    for loop in _loops:
        try:
            loop.call_soon_threadsafe(_nothing)
        except RuntimeError:
            pass  # it is closed


def _run_waiting(_):
    while _waiting:
        function, argument = _waiting.popleft()
        try:
            function(argument)
        except Exception:
            traceback.print_exc()
    return 0


_run_waiting_in_c = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_run_waiting)


def _nothing():
    pass


def sleep(seconds):
    """As time.sleep; scheduled work is done meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        _woken.acquire(timeout=min(left, threading.TIMEOUT_MAX))


def new_event_loop():
    """As asyncio.new_event_loop; `wake` knows the loop."""
    loop = _new_event_loop()
    _loops[:] = [loop]
    return loop


_new_event_loop = asyncio.events.new_event_loop


class ThreadSafeFlag:
    """As MicroPython's, for one task that waits. Scheduled work and other threads may set it."""

    def __init__(self):
        self._state = False
        self._future = None

    def set(self):
        self._state = True
        future, self._future = self._future, None
        if future is None:
            return
        if threading.current_thread() is threading.main_thread():
            _finish(future)
        else:
            future.get_loop().call_soon_threadsafe(_finish, future)

    def clear(self):
        self._state = False

    async def wait(self):
        while not self._state:
            future = self._future = asyncio.get_running_loop().create_future()
            if not self._state:  # it may have been set just before the future was there
                await future
        self._state = False


def _finish(future):
    if not future.done():
        future.set_result(None)


def print_exception(error, file=None):
    """As MicroPython's sys.print_exception."""
    traceback.print_exception(error, file=file or sys.stdout)
