"""The role that looks for the other board and connects: it writes, and the peripheral notifies."""

import asyncio

import aioble
from aioble import core

from ... import wire
from ...runtime import const, ticks_ms
from .role import NOTIFY, SERVICE, WRITE, Role

_IRQ_GATTC_NOTIFY = const(18)
_SCAN_MS = const(5000)
_SCAN_US = const(30_000)
_CONNECT_MS = const(5000)
_SETUP_MS = const(5000)
_SUPERVISION_MS = const(2000)
_INTERVAL_US = const(7_500)  # asked for at least; twice as much at most
_OTHERS = const(4)  # other names that are told
_ENODEV = const(19)


class Central(Role):
    def __init__(self, name):
        super().__init__(name)
        self._peer_notify = self._peer_write = -1  # handles
        self.irq = self.on_central  # in this object, where it is found at once

    async def establish(self):
        policy = self._policy
        aioble.config(mtu=wire.MTU)
        address = policy.peer
        while not address:
            policy.limit(ticks_ms(), _SCAN_MS + 1000)
            others = set()
            address = await self.find(_SCAN_MS, others)
            if not address:
                policy.not_found(ticks_ms(), self.name, others)
        await self.join(address, _CONNECT_MS)

    async def join(self, address, limit_ms):
        """Connect to the board with this address, and subscribe.   limit_ms: to be connected."""
        policy = self._policy
        # A fresh Device each time: aioble's keep the connection of a failed attempt.
        device = aioble.Device(*address)
        policy.limit(ticks_ms(), limit_ms)
        try:
            # On BTstack aioble's scan_duration_ms is what sets the supervision timeout.
            connection = await device.connect(None, _SUPERVISION_MS, _INTERVAL_US, 2 * _INTERVAL_US)
        except BaseException:
            self._cancel_connect()
            raise
        self.adopt(connection)
        policy.limit(ticks_ms(), _SETUP_MS)
        await self.set_up(connection)
        policy.call(connection.mtu or wire.MTU_LEAST)

    def _cancel_connect(self):
        """aioble leaves an attempt that it gave up pending in the host stack."""
        try:
            core.ble.gap_connect(None)
        except OSError:
            pass  # NimBLE: none is pending

    async def set_up(self, connection):
        """Exchange the MTU, find the service, subscribe."""
        errors = self.irq_errors
        try:
            await connection.exchange_mtu(wire.MTU)
        except asyncio.TimeoutError:
            pass  # the default of 23 will do
        service = await connection.service(SERVICE)
        notify = service and await service.characteristic(NOTIFY)
        write = service and await service.characteristic(WRITE)
        if not notify or not write:
            if self.handle >= 0 and self.irq_errors == errors:  # nothing was missed
                self._policy.tell("refused", "the other board does not offer picolink's service")
            raise OSError(_ENODEV)
        self._peer_notify = notify._value_handle
        self._peer_write = write._value_handle
        await notify.subscribe(notify=True)

    async def find(self, ms, others):
        """The address of the first board in sight that offers the service under the name, or None.

        ms: how long to look.   others: a set, for names of other boards.
        """
        try:
            async with aioble.scan(ms, _SCAN_US, _SCAN_US, active=True) as scanner:
                async for result in scanner:
                    name = self._name_of(result)
                    address = result.device.addr_type, bytes(result.device.addr)
                    if name == self.name and not self._policy.shuns(ticks_ms(), address):
                        self.rssi = result.rssi
                        return address
                    if name not in (None, self.name) and len(others) < _OTHERS:
                        others.add(name)
        except BaseException:
            aioble.central._active_scanner = None  # else aioble waits for the end of what never began
            raise
        return None

    def _name_of(self, result):
        """The name under which it offers picolink's service, or None."""
        try:
            return (SERVICE in result.services() and result.name()) or None
        except ValueError:  # a stranger whose name is not UTF-8, or whose services make no sense
            return None

    def on_central(self, event, data):
        if event != _IRQ_GATTC_NOTIFY:
            return self.on_connection(event, data)
        if data[0] != self.handle or data[1] != self._peer_notify:
            return False
        self._feed(data[2], ticks_ms())
        return True

    def write(self, packet):
        core.ble.gattc_write(self.handle, self._peer_write, packet, 0)

    transmit = write
