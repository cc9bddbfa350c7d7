"""Bluetooth of a PC, by bleak: its radio on Linux, Windows and macOS. Nothing else in picolink imports bleak.

No board gets this folder. It logs what it does as picolink.radio.bleak.
"""

_default = None


class Radio:
    """One Bluetooth adapter, for any number of links.

    adapter: on Linux its name, such as "hci1"; None: the first one.
    client, scanner: other backends for bleak, as its BleakClient and BleakScanner take them.
    """

    def __init__(self, adapter=None, client=None, scanner=None):
        _need_bleak()
        from .turns import Turns

        bluez = {"adapter": adapter} if adapter else {}
        self.client_options = {"bluez": bluez, "backend": client}
        self.scanner_options = {"bluez": bluez, "backend": scanner}
        self.turns = Turns()

    def advertise(self, name, services=()):
        """Raises NotImplementedError: no library lets a PC do this on all systems."""
        raise NotImplementedError(
            "a PC cannot advertise, it only connects. On the board: picolink.advertise(%r), and here: "
            "picolink.connect(%r)" % (name, name)
        )

    def connect(self, name):
        """The role that looks for the board that advertises `name`, and connects.

        Raises TypeError or ValueError for an invalid name.
        """
        from .central import Central

        return Central(name, self)

    def meet(self, name, services=()):
        """Raises NotImplementedError, as advertise()."""
        raise NotImplementedError(
            "a PC cannot meet, it only connects: picolink.connect(%r) finds a board that meets" % name
        )

    def watch(self, see):
        """`async with` this: meanwhile see(name, address, signal, about) is called for each board heard.

        name: str, "" where none was heard yet.   address: str; on macOS one that this Mac has made up.
        signal: dBm.   about: (bytes 2 to 5 of its identity, version such as "0.1.0"), or None: boards with
        long names do not say.   Entering raises BluetoothError where this PC's Bluetooth cannot be used.
        Meanwhile no link of this radio connects.
        """
        from .watch import watch

        return watch(self, see)


def advertise(name, services=()):
    """As Radio.advertise()."""
    return _of_this_pc().advertise(name, services)


def connect(name):
    """As Radio.connect(), with the first adapter. Raises ImportError without bleak."""
    return _of_this_pc().connect(name)


def meet(name, services=()):
    """As Radio.meet()."""
    return _of_this_pc().meet(name, services)


def _of_this_pc():
    global _default
    if _default is None:
        _default = Radio()
    return _default


def _need_bleak():
    try:
        import bleak  # noqa: F401
    except ImportError as e:
        raise ImportError('Bluetooth of a PC needs the package bleak: pip install "picolink[pc]" (%s)' % e)
