# How busy picolink keeps a board's CPU at the radio's full rate: link, asyncio and engine.
# For the emulated Pico.
#
# There is no radio and no Bluetooth stack here.  The handler of a timer takes packets and brings some as
# often as the air allows, between two bytecodes, as Bluetooth events come; what it does itself, the other
# engine included, is not counted.

import asyncio
import gc
import json
import sys
import time

from machine import Timer, mem32

_SIZE = 18  # bytes of a message
_PACKET = 244  # bytes: the largest
_ON_THE_WAY = 9  # packets that BTstack and the controller take: then they are full
_FULL = 114  # EALREADY: what BTstack says then
_WARM_UP_MS = 200
_KEY = bytes(range(32))
_NAME = "air"


class _Namespace:
    pass


class _Ble:
    """The packets that the program sends wait here until the air takes them."""

    def __init__(self):
        self.packets = [memoryview(bytearray(_PACKET)) for _ in range(_ON_THE_WAY)]
        self.sizes = [0] * _ON_THE_WAY
        self.first = self.count = 0
        self.stop = 0  # address at which the cycle counter is stopped: for what is not picolink's

    def irq(self, _handler):
        pass

    def gattc_write(self, _handle, _value_handle, packet, _mode):
        if self.count == _ON_THE_WAY:
            raise OSError(_FULL)
        mem32[self.stop] = 1
        place = (self.first + self.count) % _ON_THE_WAY
        self.packets[place][: len(packet)] = packet
        self.sizes[place] = len(packet)
        self.count += 1
        mem32[self.stop] = 0


def _stand_in(ble):
    """What picolink needs of aioble and bluetooth when its connections come from elsewhere."""
    aioble, bluetooth = _Namespace(), _Namespace()
    aioble.core = _Namespace()
    aioble.core.ble = ble
    aioble.DeviceDisconnectedError = type("DeviceDisconnectedError", (Exception,), {})
    aioble.GattError = type("GattError", (Exception,), {})
    bluetooth.UUID = str
    sys.modules["aioble"], sys.modules["bluetooth"] = aioble, bluetooth


_ble = _Ble()
_stand_in(_ble)

from _picolink import Engine  # noqa: E402
from picolink.link import Link  # noqa: E402
from picolink.radio.aioble.central import Central  # noqa: E402
from picolink.radio.aioble.role import on_bluetooth  # noqa: E402

_NOTIFY = 18  # event of MicroPython's bluetooth module
_HANDLE = _VALUE_HANDLE = 1


class _Device:
    addr_type = 0
    addr = b"device"

    def addr_hex(self):
        return "device"


class _Connection:
    _conn_handle = _HANDLE
    mtu = 247
    device = _Device()


class _Connected(Central):
    async def establish(self):
        self.adopt(_Connection())
        self._peer_notify = self._peer_write = _VALUE_HANDLE
        self._policy.call(_Connection.mtu)


class _Air:
    """A packet each way every packet_us: a full one fills much of a connection event.

    sends: whether the other side does.   received: counts its messages.
    """

    def __init__(self, packet_us, sends, keyed):
        if keyed:
            from picolink import key

            secret = key.of_link(key.secret(_KEY), _NAME)
            self._peer = Engine(1, b"the peer", key=secret, seed=key.seed(b"the peer"))
        else:
            self._peer = Engine(1, b"the peer")
        self._peer.start(247, time.ticks_ms())
        self._packet_us = packet_us
        self._sends = sends
        self.received = 0
        packet = memoryview(bytearray(_PACKET))
        self._views = [packet[:size] for size in range(_PACKET + 1)]
        self._message, self._buffer = bytes(_SIZE), bytearray(_SIZE)
        self._timer = Timer()

    def start(self):
        self._timer.init(freq=1e6 / self._packet_us, callback=self._carry)

    def stop(self):
        self._timer.deinit()

    def _carry(self, _timer):
        mem32[_ble.stop] = 1
        data = self._exchange()
        mem32[_ble.stop] = 0
        if data:
            on_bluetooth(_NOTIFY, data)

    def _exchange(self):
        """Take a packet there; returns what comes with the event of one from there, or None."""
        peer, now = self._peer, time.ticks_ms()
        if _ble.count:
            peer.feed(_ble.packets[_ble.first][: _ble.sizes[_ble.first]], now)
            _ble.first = (_ble.first + 1) % _ON_THE_WAY
            _ble.count -= 1
        while peer.recv_into(self._buffer) >= 0:
            self.received += 1
        while self._sends and peer.send(self._message):
            pass
        size = peer.pull_into(self._views[_PACKET], now)
        return (_HANDLE, _VALUE_HANDLE, self._views[size]) if size else None


async def _send(link):
    message = bytes(_SIZE)
    while True:
        await link.send(message)


async def _send_nowait(link):
    message = bytes(_SIZE)
    while True:
        while link.send_nowait(message):
            pass
        await asyncio.sleep_ms(10)


async def _async_for(link, received):
    async for _ in link:
        received[0] += 1


async def _recv(link, received):
    while True:
        await link.recv()
        received[0] += 1


async def _drain(link, received):
    while True:
        for _ in await link.drain():
            received[0] += 1


_SENDERS = {"send": _send, "send_nowait": _send_nowait}
_READERS = {"async for": _async_for, "recv": _recv, "drain": _drain}


async def _measure(counter, engine, sender, reader, packet_us, ms, keyed):
    _ble.stop = counter + 4
    keys = {"key": _KEY} if keyed else {}
    link = Link(_Connected(_NAME), engine=engine, on_event=lambda _event, _detail: None, **keys)
    here = [0]
    air = _Air(packet_us, bool(reader), keyed)
    air.start()
    await link.open()
    tasks = []
    if sender:
        tasks.append(asyncio.create_task(_SENDERS[sender](link)))
    if reader:
        tasks.append(asyncio.create_task(_READERS[reader](link, here)))
    await asyncio.sleep_ms(_WARM_UP_MS)
    if not tasks:
        air.stop()  # a radio that has nothing says nothing
    gc.collect()
    here[0] = air.received = 0
    began_at = time.ticks_us()
    mem32[counter] = 0
    await asyncio.sleep_ms(ms)
    cycles = mem32[counter]
    mem32[_ble.stop] = 1  # for good: what comes now is not to be seen in a profile
    us = time.ticks_diff(time.ticks_us(), began_at)
    air.stop()
    print(json.dumps({"sent": air.received, "received": here[0], "us": us, "cycles": cycles}))


def measure(*arguments):
    """Print what happened in `ms` of traffic both ways.

    counter: address of the cycle counter.   engine: "native" or "python".
    sender: "send", "send_nowait", or None to send nothing.   reader: "async for", "recv", "drain", or None.
    packet_us: from one packet each way to the next.   ms: how long.   keyed: with a key.
    """
    asyncio.run(_measure(*arguments))
