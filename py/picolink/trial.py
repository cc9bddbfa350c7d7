"""A new main.py on trial: docs/files.md, "Programs over the air". Only who tries programs loads this.

    import picolink.trial; picolink.trial.boot()

in boot.py looks at these files, in this order:

    picolink.old                       the program before the one on trial: it comes back, unless
    picolink.try, main.py              main.py has not begun yet: now its time to say keep() begins
    picolink.try, picolink.trying      are useless without picolink.old

Each step is a rename or a removal, so that power may be cut anywhere.
"""

import os
import sys

from .runtime import const

_MAIN = "main.py"
_OLD = "picolink.old"
_TRY = "picolink.try"  # ms that the program gets
_TRYING = "picolink.trying"
_WATCHDOG_MS = const(8000)  # an RP2040's watchdog cannot wait longer than 8388

_timer = None
_left_s = 0  # until the watchdog is fed no more; -1: it always is


def _is_there(name):
    try:
        os.stat(name)
    except OSError:
        return False
    return True


def _remove(name):
    if _is_there(name):
        os.remove(name)


def _rename(old, new):
    getattr(os, "replace", os.rename)(old, new)


def boot():
    """In boot.py: begins a trial, or ends one that has failed."""
    if _is_there(_OLD):
        if _is_there(_TRY) and _is_there(_MAIN):
            with open(_TRY) as file:
                ms = int(file.read())
            _rename(_TRY, _TRYING)
            _watch(ms)
            return
        _rename(_OLD, _MAIN)
    _remove(_TRY)
    _remove(_TRYING)


def _watch(ms):
    """Restart the board when the time is over, when the program hangs, and when it has failed."""
    global _timer, _left_s
    from machine import WDT, Timer

    watchdog = WDT(timeout=_WATCHDOG_MS)
    _left_s = ms // 1000

    def feed(_):
        global _left_s
        if _left_s:
            watchdog.feed()
            if _left_s > 0:
                _left_s -= 1

    _timer = Timer(-1, period=1000, mode=Timer.PERIODIC, callback=feed)


def try_program(path, within_ms):
    """See picolink.try_program()."""
    if _is_there(_OLD):
        raise RuntimeError("this program is on trial itself: say picolink.keep() first")
    os.stat(path)
    _remove(_TRYING)
    with open(_TRY, "w") as file:
        file.write(str(int(within_ms)))
    _rename(_MAIN, _OLD)
    _rename(path, _MAIN)
    import machine

    getattr(machine, "reset", sys.exit)()  # a virtual board ends, and is started again


def keep(feed):
    """See picolink.keep()."""
    global _left_s
    _remove(_OLD)
    _remove(_TRYING)
    _left_s = -1
    if not feed and _timer:
        _timer.deinit()
