# Simulator code for virtual boards, never installed on a board: pins and the LED, which print their changes.

_levels = {}  # of outputs, and of inputs what their resistors pull them to: name -> 0 or 1


class Pin:
    """machine.Pin: `[LED on]`, `[GP15 off]` when an output changes. Nothing is connected to inputs."""

    IN, OUT, OPEN_DRAIN = 0, 1, 2
    PULL_UP, PULL_DOWN = 1, 2
    IRQ_FALLING, IRQ_RISING = 4, 8

    def __init__(self, id, mode=-1, pull=-1, *, value=None, alt=-1):
        if isinstance(id, Pin):
            self._name = id._name
        elif isinstance(id, str):
            self._name = "LED" if id == "WL_GPIO0" else id
        elif 0 <= id < 30:
            self._name = "GP%d" % id
        else:
            raise ValueError("invalid pin")
        if self._name != "LED" and self._name not in _NAMES:
            raise ValueError("unknown named pin: %s" % self._name)
        self._output = self._name == "LED"
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, alt=-1):
        if mode != -1:
            self._output = mode != self.IN
        if pull == self.PULL_UP and self._name not in _levels:
            _levels[self._name] = 1
        if value is not None:
            self.value(value)

    def value(self, level=None):
        before = _levels.get(self._name, 0)
        if level is None:
            return before
        level = 1 if level else 0
        if self._output:
            _levels[self._name] = level
            if level != before:
                print("[%s %s]" % (self._name, "on" if level else "off"))
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not _levels.get(self._name, 0))

    high = on
    low = off

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, hard=False):
        """Nothing ever happens at an input."""
        return self

    def __repr__(self):
        return "Pin(%s, mode=%s)" % (self._name, "OUT" if self._output else "IN")


class Signal:
    """machine.Signal: a pin, inverted or not."""

    def __init__(self, pin, *arguments, invert=False, **settings):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *arguments, **settings)
        self._invert = 1 if invert else 0

    def value(self, level=None):
        if level is None:
            return self._pin.value() ^ self._invert
        return self._pin.value((1 if level else 0) ^ self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


_NAMES = ["GP%d" % number for number in range(30)]
