"""Bluetooth LE by aioble: the radio of a board. Nothing else in picolink imports aioble or bluetooth."""


def advertise(name, services=()):
    """The role that advertises `name` and waits.

    services: aioble.Service objects that the program offers too.
    Raises TypeError or ValueError for an invalid name, ImportError where Bluetooth or aioble is missing or is
    not what it needs.
    """
    _need("advertise", "Service", "Characteristic", "register_services")
    from .peripheral import Peripheral

    return Peripheral(name, services)


def connect(name):
    """The role that looks for the board that advertises `name`, and connects. Raises as advertise()."""
    _need_central()
    from .central import Central

    return Central(name)


def meet(name, services=()):
    """The role that advertises `name` and looks for it, in turn. Arguments and errors as advertise()."""
    _need("advertise", "Service", "Characteristic", "register_services")
    _need_central()
    from .both import Both

    return Both(name, services)


def _need_central():
    device = _need("scan", "Device").Device
    try:
        device.connect(None, 0, 0, 0, 0).close()  # a coroutine only takes its arguments until it is awaited
    except TypeError:
        raise ImportError(
            "aioble is too old: picolink needs 0.6, which MicroPython has from 1.24 on. Install a newer "
            "MicroPython"
        )


def _need(*names):
    """aioble. Raises ImportError with what to do when there is none, or one without these names."""
    try:
        import bluetooth  # noqa: F401
    except ImportError:
        raise ImportError(
            "this firmware has no Bluetooth: install MicroPython for the Pico W or the Pico 2 W"
        )
    try:
        import aioble
    except ImportError as e:
        raise ImportError("aioble is missing (%s): mpremote mip install aioble" % e)
    for name in names:
        if not hasattr(aioble, name):  # it leaves out the parts whose files are missing
            raise ImportError("aioble has no %s, parts of it are missing: mpremote mip install aioble" % name)
    return aioble
