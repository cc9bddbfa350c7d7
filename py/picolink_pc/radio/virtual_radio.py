"""The air that virtual boards share: who is on it, who hears whom, and how well."""

import asyncio
import random
from collections.abc import Callable

from bumble import hci

from .air import RadioSettings
from .connection import AirConnection
from .controller import Advertisement, RadioController
from .link_layer import RadioStatistics

_RSSI_DBM = (-55, 3)  # mean and spread: two boards in one room


class VirtualRadio:
    """Bluetooth LE controllers on one modelled air, in real time; needs a running asyncio event loop.

    Connections use the interval, PHY, data length and latency of `settings` from their first event on,
    whatever hosts ask for, and hosts are told so.  Connections do not disturb each other.

    settings: what the air is like.  statistics: counters over all connections.
    tap: called with every HCI packet between a controller and its host, in order: the controller, the packet
        (H4), and whether it goes to the host.
    """

    def __init__(self, settings: RadioSettings):
        self.settings = settings
        self.statistics = RadioStatistics()
        self.random = random.Random(settings.seed)
        self.controllers: list[RadioController] = []
        self.connections: list[AirConnection] = []
        self.tap: Callable[[RadioController, bytes, bool], None] | None = None
        self._in_range = True
        self._away: set[str] = set()

    def add_controller(self, name: str, public_address: str | hci.Address) -> RadioController:
        """A new controller, ready for a host: HciPty, or whatever takes HCI packets, as its `host`.

        public_address: as "F0:F1:F2:F3:F4:F5".
        """
        controller = RadioController(self, name, public_address)
        self.controllers.append(controller)
        return controller

    def remove_controller(self, controller: RadioController) -> None:
        """The board has lost its power: its controller vanishes, and no one is told."""
        controller.silence()
        controller.host = None
        self.controllers.remove(controller)

    def close(self) -> None:
        """Remove all controllers and stop."""
        for controller in list(self.controllers):
            self.remove_controller(controller)

    @property
    def in_range(self) -> bool:
        """Do boards hear each other?  Out of range connections end by their supervision timeout."""
        return self._in_range

    @in_range.setter
    def in_range(self, value: bool) -> None:
        self._in_range = value
        self._set_ranges()

    def set_away(self, name: str, away: bool) -> None:
        """Take the board of this name out of range of all others, or bring it back."""
        (self._away.add if away else self._away.discard)(name)
        self._set_ranges()

    def reach(self, *controllers: RadioController) -> bool:
        """Do these hear each other?"""
        return self._in_range and not any(controller.name in self._away for controller in controllers)

    def _set_ranges(self) -> None:
        for connection in self.connections:
            connection.layer.in_range = self.reach(*connection.controllers)

    def drop(self) -> None:
        """All connections are over, and all hosts hear of it at once."""
        for connection in list(self.connections):
            connection.lose()

    @staticmethod
    def now_us() -> int:
        """The radio's clock: the event loop's, in us."""
        return int(asyncio.get_running_loop().time() * 1e6)

    def rssi_dbm(self) -> int:
        """Strength of one received signal."""
        return round(self.random.gauss(*_RSSI_DBM))

    def advertise(self, advertisement: Advertisement) -> None:
        """Send one advertisement to every other controller that listens."""
        for controller in list(self.controllers):
            if controller is not advertisement.controller and self.reach(
                controller, advertisement.controller
            ):
                controller.on_advertisement(advertisement)

    def hears(self, window: int, interval: int) -> bool:
        """Does a scanner that listens for `window` of every `interval` catch one advertisement?"""
        return self.random.random() < window / interval * (1 - self.settings.loss)

    def connect(
        self,
        controllers: tuple[RadioController, RadioController],
        addresses: tuple[hci.Address, hci.Address],
        supervision_timeout_ms: int,
    ) -> AirConnection:
        """A new connection of a central and a peripheral (in this order); its hosts are not yet told."""
        connection = AirConnection(self, controllers, addresses, supervision_timeout_ms)
        self.connections.append(connection)
        return connection

    def forget(self, connection: AirConnection) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
