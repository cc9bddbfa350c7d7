# Simulator code for virtual boards, never installed on a board: machine.Timer, a thread each.

import _thread

# Given by the machine module of the interpreter.
pause = None  # pause(ms): of this thread
schedule = None  # schedule(function, argument): soon, in the main thread; RuntimeError: its queue is full


class Timer:
    """machine.Timer. Callbacks run between two bytecodes of the program, as soft ones do on a Pico."""

    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, id=-1, **settings):
        if id != -1:
            raise ValueError("Timer doesn't exist")
        self._started = 0  # how often: a thread ends when it is not the one that was started last
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, freq=-1, period=-1, tick_hz=1000, callback=None, hard=False):
        ms = int(1000 / freq) if freq != -1 else period * 1000 // tick_hz
        if ms < 1:
            raise ValueError("a virtual board's timers take at least 1 ms")
        self._callback = callback
        self._started += 1
        _thread.start_new_thread(_run, (self, self._started, ms, mode))

    def deinit(self):
        self._started += 1


def _run(timer, number, ms, mode):
    def call(_):
        if timer._started == number and timer._callback:
            timer._callback(timer)

    def once(_):
        pause(ms)
        if timer._started != number:
            return True
        try:
            schedule(call, None)
        except RuntimeError:  # the program's own work fills the queue: as on a Pico, this one is left out
            pass
        return mode == Timer.ONE_SHOT

    # In C: at the jump of a Python loop MicroPython would do the program's scheduled work in this thread.
    any(filter(once, range(1, 1 << 60)))
