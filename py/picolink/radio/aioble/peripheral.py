"""The role that advertises and waits: it notifies, and the central writes."""

import asyncio

import aioble
from aioble import core

from ... import wire
from ...lifecycle import CLOSED, READY
from ...policy import HEARD_AT
from ...runtime import const, ticks_ms
from .role import NOTIFY, SERVICE, WRITE, Role

_IRQ_GATTS_WRITE = const(3)
_MARK = b"picolink"  # the value of the characteristic that notifies, which nobody reads
_ADVERTISE_US = const(30_000)
_ADVERTISE_MS = const(5000)  # then again, should the board have missed a central


class Peripheral(Role):
    def __init__(self, name, services):
        super().__init__(name)
        self._services = services
        self._notify_handle = self._write_handle = -1
        self.irq = self.on_peripheral  # in this object, where it is found at once

    def _register(self):
        """Offer the service: once for each link, and again after the host stack was stopped."""
        aioble.config(mtu=wire.MTU)
        service = aioble.Service(SERVICE)
        notify = aioble.Characteristic(service, NOTIFY, notify=True)
        write = aioble.Characteristic(service, WRITE, write_no_response=True)
        aioble.register_services(service, *self._services)
        core.ble.gatts_set_buffer(write._value_handle, wire.PACKET)  # MicroPython's default is 20
        self._notify_handle = notify._value_handle
        self._write_handle = write._value_handle
        core.ble.gatts_write(self._notify_handle, _MARK)

    def _is_registered(self):
        """Whether the service is still offered: whoever registers others takes it away."""
        try:
            return core.ble.gatts_read(self._notify_handle) == _MARK
        except OSError:
            return False

    def prepare(self):
        """Offer the service, unless it is offered."""
        if self._write_handle < 0 or not core.ble.active():
            self._register()
        elif not self._is_registered():
            self._policy.tell(
                "not connected",
                "this program has registered services, which took picolink's away. It is back, and those are "
                "gone: hand them over instead, picolink.advertise(..., services=[...])",
            )
            self._register()

    async def establish(self):
        policy = self._policy
        self.prepare()
        policy.limit(ticks_ms(), _ADVERTISE_MS)
        try:
            await self.wait(None)
        except asyncio.CancelledError:
            if policy.life < CLOSED and self.handle < 0:
                policy.nobody(ticks_ms(), self.name)
            raise

    async def wait(self, ms):
        """Advertise, for so long at most. Returns whether a central has connected."""
        name = self.name.encode()  # aioble counts the characters of a str
        about = None
        if len(name) <= wire.ABOUT_NAME:
            about = (wire.COMPANY, wire.about(self.identity))
        try:
            connection = await aioble.advertise(
                _ADVERTISE_US, name=name, services=[SERVICE], manufacturer=about, timeout_ms=ms
            )
        except asyncio.TimeoutError:
            return False
        if connection is None:  # aioble has swallowed a cancellation, by the limit or by close()
            raise asyncio.CancelledError
        core.ble.gap_advertise(None)  # BTstack would begin again by itself after a drop
        # From here on writes are taken; the first one says that the central is ready.
        self.adopt(connection)
        return True

    def on_peripheral(self, event, data):
        if event != _IRQ_GATTS_WRITE:
            return self.on_connection(event, data)
        if data[0] != self.handle or data[1] != self._write_handle:
            return False
        policy = self._policy
        if policy.connection >= READY:
            policy.path[HEARD_AT] = now = ticks_ms()  # even if there is no memory to read it
            self._feed(core.ble.gatts_read(data[1]), now)
        else:
            policy.call(self._connection.mtu or wire.MTU_LEAST)
            policy.wake.set()
        return True

    def notify(self, packet):
        core.ble.gatts_notify(self.handle, self._notify_handle, packet)

    transmit = notify
