"""The role of a PC: it looks for the board, connects and writes, and the board notifies."""

import asyncio
import collections
import logging
import os

import bleak

from ... import wire
from ...policy import HANG_UP_MS
from ...runtime import ticks_ms
from . import files
from .errors import explain, unusable

_LOOK_S = 0.25
_SCAN_LOOKS = 20
_SHORT_LOOKS = 4  # while another link of this program waits for its turn
_OTHERS = 4  # other names that are told
_TURN_MS = 60_000  # so long it may take until other links are done
_CONNECT_S = 12  # with finding out what the board offers, which takes Windows some seconds
_SETUP_MS = 6000
# Packets that wait until bleak takes them. Beyond it no host stack says when it is full; there the engine's
# own limit of what is in flight bounds the queue.
_QUEUE = 8
_ENOMEM = 12
_ENODEV = 19

_log = logging.getLogger(__name__)


class Central:
    """See picolink.radio."""

    TROUBLES = (OSError, asyncio.TimeoutError, MemoryError)
    TEND_MS = 20
    irq_errors = 0
    rssi = None

    def __init__(self, name, radio):
        self.name = wire.checked_name(name)
        self.identity = files.identity()
        files.tell_of_open_key()
        self.handle = -1
        self.folder = str(files.folder()) + os.sep
        self._radio = radio
        self._policy = None
        self._device = None  # bleak's: where the board was met last
        self._client = None
        self._queue = collections.deque()
        self._queued = asyncio.Event()
        self._writer = None
        self._open = False

    def serve(self, policy):
        self._policy = policy
        policy.transmit = self.transmit

    async def claim(self):
        """Raises BluetoothError where Bluetooth of this PC cannot be used."""
        async with self._radio.turns.turn():
            try:
                async with bleak.BleakScanner(None, [wire.SERVICE], **self._radio.scanner_options):
                    pass
            except Exception as e:
                raise unusable(e) from e
        self._open = True

    def release(self):
        was_open, self._open = self._open, False
        return was_open

    def tend(self):
        pass

    def restart(self):
        """No program can restart a PC's Bluetooth."""
        _log.warning("Bluetooth does not answer, or carries nothing")
        self._policy.tell_again(
            ticks_ms(), "not connected", "this PC's Bluetooth seems to be stuck: switch it off and on again"
        )

    # -- connecting ---------------------------------------------------------------------------------------

    async def establish(self):
        policy = self._policy
        try:
            policy.limit(ticks_ms(), _TURN_MS)
            device = None
            while device is None:
                async with self._radio.turns.turn():
                    device = self._device if policy.peer else await self._find()
                    if device:
                        await self._connect(device)
            policy.limit(ticks_ms(), _SETUP_MS)
            await self._set_up(self._client)
        except (bleak.exc.BleakError, OSError) as e:
            if isinstance(e, OSError) and e.errno == _ENODEV:
                raise
            # TimeoutError is an OSError, too.
            _log.info("%s: not connected: %r", self.name, e)
            why = explain(e) or "Bluetooth says: %s" % (str(e) or "timed out")
            policy.tell_again(ticks_ms(), "not connected", why)
            raise OSError(_ENODEV, why) from e

    async def _find(self):
        """The first board in sight that offers the service under the name, or None."""
        policy = self._policy
        found = asyncio.get_running_loop().create_future()
        others = set()

        def see(device, advertised):
            name = advertised.local_name
            if name == self.name:
                if not found.done() and not policy.shuns(ticks_ms(), device.address):
                    self.rssi = advertised.rssi
                    found.set_result(device)
            elif name and len(others) < _OTHERS:
                others.add(name)

        policy.limit(ticks_ms(), _TURN_MS)
        _log.debug("%s: scanning", self.name)
        scanner = bleak.BleakScanner(see, [wire.SERVICE], **self._radio.scanner_options)
        async with scanner:
            for look in range(_SCAN_LOOKS):
                await asyncio.wait([found], timeout=_LOOK_S)
                if found.done() or (look >= _SHORT_LOOKS and self._radio.turns.wanted()):
                    break
        if found.done():
            return found.result()
        policy.not_found(ticks_ms(), self.name, sorted(others))
        return None

    async def _connect(self, device):
        policy = self._policy
        policy.limit(ticks_ms(), _CONNECT_S * 1000 + HANG_UP_MS)
        _log.info("%s: connecting to %s", self.name, device.address)
        # A fresh one each time: what was found out about the board may hold no longer. Windows would believe
        # what it knew of the board's services, whatever program the board runs now.
        self._client = client = bleak.BleakClient(
            device,
            self._on_disconnected,
            [wire.SERVICE],
            timeout=_CONNECT_S,
            winrt={"use_cached_services": False},
            **self._radio.client_options,
        )
        await client.connect()
        self._device = device
        policy.adopt(ticks_ms(), device.address, device.address)
        self.handle = 0
        if not client.is_connected:
            self.handle = -1
            raise bleak.exc.BleakError("the connection dropped at once")

    async def _set_up(self, client):
        """Subscribe; packets flow from now on."""
        policy = self._policy
        services = client.services
        notify, write = services.get_characteristic(wire.NOTIFY), services.get_characteristic(wire.WRITE)
        if not notify or not write:
            policy.tell("refused", "the other board does not offer picolink's service")
            raise OSError(_ENODEV, "no such service")
        await client.start_notify(notify, self._on_notified)
        self._queue.clear()
        self._queued.clear()
        self._writer = asyncio.create_task(self._write(client, write))
        # Not client.mtu_size: with BlueZ that is always 23.
        mtu = write.max_write_without_response_size + 3
        _log.info("%s: connected to %s, MTU %d", self.name, client.address, mtu)
        policy.call(mtu)

    def _on_disconnected(self, client):
        if client is self._client:
            _log.info("%s: disconnected", self.name)
            self._drop()

    def _drop(self):
        if self.handle >= 0:
            self.handle = -1
            self._policy.wake.set()

    async def hang_up(self):
        client, self._client = self._client, None
        self.handle = -1
        if self._writer:
            self._writer.cancel()
            self._writer = None
        if client is None:
            return True
        try:
            async with asyncio.timeout(HANG_UP_MS / 1000):
                await client.disconnect()
        except TimeoutError:
            return False
        except (bleak.exc.BleakError, OSError, EOFError) as e:  # it is gone already
            _log.debug("%s: disconnecting: %r", self.name, e)
        return True

    # -- packets ------------------------------------------------------------------------------------------

    def transmit(self, packet):
        if len(self._queue) >= _QUEUE:
            raise OSError(_ENOMEM, os.strerror(_ENOMEM))
        self._queue.append(bytes(packet))
        self._queued.set()

    async def _write(self, client, characteristic):
        """Hand packets to bleak, one after the other, as fast as it takes them."""
        queue = self._queue
        try:
            while True:
                while queue:
                    await client.write_gatt_char(characteristic, queue[0], response=False)
                    queue.popleft()
                self._queued.clear()
                await self._queued.wait()
        except Exception as e:  # host stacks raise all kinds when a connection has dropped
            _log.info("%s: writing: %r", self.name, e)
            if client is self._client:
                self._drop()

    def _on_notified(self, _characteristic, packet):
        if self.handle >= 0:
            self._policy.feed(packet, ticks_ms())
