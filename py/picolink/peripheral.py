"""The role that advertises and waits: it notifies, and the central writes."""

import asyncio
import time

import aioble
from aioble import core
from micropython import const

from . import gatt
from .link import Link

_IRQ_GATTS_WRITE = const(3)
_EACCES = const(13)
_ADVERTISE_US = const(30_000)
_ADVERTISE_MS = const(10_000)  # then again, should the board have missed a central
_VALUE = const(244)  # bytes that the written value must hold; MicroPython's default is 20


class Peripheral(Link):
    _write_handle = -1

    def _register(self):
        """Offer the service: once for each link, and again after the host stack was stopped."""
        aioble.config(mtu=gatt.MTU)
        service = aioble.Service(gatt.SERVICE)
        notify = aioble.Characteristic(service, gatt.NOTIFY, notify=True)
        write = aioble.Characteristic(service, gatt.WRITE, write_no_response=True)
        aioble.register_services(service)
        core.ble.gatts_set_buffer(write._value_handle, _VALUE)
        self._notify_handle = notify._value_handle
        self._write_handle = write._value_handle

    async def _establish(self):
        if self._write_handle < 0 or not core.ble.active():
            self._register()
        self._limit(_ADVERTISE_MS)
        # As bytes: aioble counts the characters of a str.
        connection = await aioble.advertise(_ADVERTISE_US, name=self.name.encode(), services=[gatt.SERVICE])
        if connection is None:  # aioble has swallowed a cancellation, by the limit or by close()
            if self._closed is None:
                self._event("not found", "no board has connected to %r, still advertising" % self.name)
            raise asyncio.CancelledError
        core.ble.gap_advertise(None)  # BTstack would begin again by itself after a drop
        if not self._is_peer(connection.device):
            raise OSError(_EACCES)  # and it is hung up on
        # From here on writes are taken; the first one says that the central is ready.
        self._adopt(connection)

    def _irq(self, event, data):
        if event != _IRQ_GATTS_WRITE:
            return super()._irq(event, data)
        if data[0] != self._handle or data[1] != self._write_handle:
            return False
        if self._called:
            self._heard_at = time.ticks_ms()  # even if there is no memory to read it
            self._feed(core.ble.gatts_read(data[1]))
        else:
            self._called = True
            self._wake.set()
        return True

    def _transmit(self, packet):
        core.ble.gatts_notify(self._handle, self._notify_handle, packet)
