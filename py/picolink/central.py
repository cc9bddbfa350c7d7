"""The role that looks for the other board and connects: it writes, and the peripheral notifies."""

import asyncio

import aioble
from aioble import core
from micropython import const

from . import gatt
from .link import Link

_IRQ_GATTC_NOTIFY = const(18)
_SCAN_MS = const(5000)
_SCAN_US = const(30_000)
_CONNECT_MS = const(5000)
_SETUP_MS = const(5000)
_SUPERVISION_MS = const(2000)
_INTERVAL_US = const(7_500)  # asked for at least; twice as much at most
_ENODEV = const(19)


class Central(Link):
    _notify_handle = -1

    async def _establish(self):
        aioble.config(mtu=gatt.MTU)
        addr_type, addr = self._peer or await self._find()
        # A fresh Device each time: aioble's keep the connection of a failed attempt.
        device = aioble.Device(addr_type, addr)
        self._limit(_CONNECT_MS)
        try:
            # On BTstack aioble's scan_duration_ms is what sets the supervision timeout.
            connection = await device.connect(None, _SUPERVISION_MS, _INTERVAL_US, 2 * _INTERVAL_US)
        except BaseException:
            self._cancel_connect()
            raise
        self._adopt(connection)
        self._limit(_SETUP_MS)
        await self._set_up(connection)
        self._called = True

    def _cancel_connect(self):
        """aioble leaves an attempt that it gave up pending in the host stack."""
        try:
            core.ble.gap_connect(None)
        except OSError:
            pass  # NimBLE: none is pending

    async def _set_up(self, connection):
        """Exchange the MTU, find the service, subscribe."""
        errors = self._irq_errors
        try:
            await connection.exchange_mtu(gatt.MTU)
        except asyncio.TimeoutError:
            pass  # the default of 23 will do
        service = await connection.service(gatt.SERVICE)
        notify = service and await service.characteristic(gatt.NOTIFY)
        write = service and await service.characteristic(gatt.WRITE)
        if not notify or not write:
            if self._handle >= 0 and self._irq_errors == errors:  # nothing was missed
                self._event("refused", "the other board does not offer picolink's service")
            raise OSError(_ENODEV)
        self._notify_handle = notify._value_handle
        self._write_handle = write._value_handle
        await notify.subscribe(notify=True)

    async def _find(self):
        """The address of the first board in sight that offers the service under the name."""
        while True:
            self._limit(_SCAN_MS + 1000)
            try:
                async with aioble.scan(_SCAN_MS, _SCAN_US, _SCAN_US, active=True) as scanner:
                    async for result in scanner:
                        if self._is_wanted(result):
                            return result.device.addr_type, result.device.addr
            except BaseException:
                aioble.central._active_scanner = None  # else aioble waits for the end of what never began
                raise
            self._event("not found", "no board named %r in sight, still looking" % self.name)

    def _is_wanted(self, result):
        try:
            return result.name() == self.name and gatt.SERVICE in result.services()
        except ValueError:  # a stranger whose name is not UTF-8, or whose services make no sense
            return False

    def _irq(self, event, data):
        if event != _IRQ_GATTC_NOTIFY:
            return super()._irq(event, data)
        if data[0] != self._handle or data[1] != self._notify_handle:
            return False
        self._feed(data[2])
        return True

    def _transmit(self, packet):
        core.ble.gattc_write(self._handle, self._write_handle, packet, 0)
