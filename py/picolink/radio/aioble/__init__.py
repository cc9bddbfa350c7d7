"""Bluetooth LE by aioble: the radio of a board. Nothing else in picolink imports aioble or bluetooth."""


def advertise(name):
    """The role that advertises `name` and waits. Raises TypeError or ValueError for what is no name."""
    from .peripheral import Peripheral

    return Peripheral(name)


def connect(name):
    """The role that looks for the board that advertises `name`, and connects. Raises as advertise()."""
    from .central import Central

    return Central(name)
