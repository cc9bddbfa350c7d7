"""MicroPython's module of the same name, as far as programs for boards use it."""

import interrupts

schedule = interrupts.schedule


def const(value):
    return value


def native(function):
    return function


def heap_lock():
    """Not here: the heap is CPython's."""


def heap_unlock():
    return 0


def alloc_emergency_exception_buf(_size):
    """CPython needs none."""


def kbd_intr(_character):
    """Ctrl-C is for whoever has started the board."""


def opt_level(_level=None):
    return 0


def mem_info(_verbose=None):
    print("the heap of this board is CPython's")
