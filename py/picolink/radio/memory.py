"""A radio in memory: the links of one program hear each other, without Bluetooth. For tests.

    air = memory.Air()
    picolink.radio.use(air)                           # or radio=air in each advertise() and connect()
    await asyncio.gather(program_a(), program_b())

It works on PCs and on boards. Packets arrive in order, up to 10 ms after they were sent, as with a
connection interval of 10 ms.
"""

import asyncio
import binascii
import random
import struct

from .. import wire
from ..lifecycle import CLOSED, READY
from ..meeting import meet
from ..runtime import const, sleep_ms, ticks_add, ticks_diff, ticks_ms
from .board import Board

_LOOK_MS = const(10)
_SEEK_MS = const(5000)  # then it says so, and goes on
_ADVERTISE_MS = const(5000)  # likewise
_ENOMEM = const(12)
_ENOTCONN = const(107)


class Air:
    """What the links share. Everything may be changed at any time.

    in_range: whether they hear each other; a connection lasts without that for supervision_ms (int).
    delay_ms: int, by which each packet is later.   loss: 0 to 1, the share of packets that never arrive.
    queue: packets on their way in one direction at most; then the host stack is full.
    mtu: ATT MTU of the next connections, bytes.
    """

    def __init__(self, delay_ms=0, loss=0, queue=8, mtu=wire.MTU, supervision_ms=2000):
        self.in_range = True
        self.delay_ms = delay_ms
        self.loss = loss
        self.queue = queue
        self.mtu = mtu
        self.supervision_ms = supervision_ms
        self._boards = {}
        self._roles = []  # of links that are open

    def board(self, address):
        """The radio of the board with this address (str): boards of the same name need one each."""
        if address not in self._boards:
            self._boards[address] = _BoardRadio(self, address)
        return self._boards[address]

    def advertise(self, name, services=()):  # noqa: ARG002
        """As picolink.radio says; for a board that only advertises. Nobody sees its services."""
        return self.board("advertises " + wire.checked_name(name)).advertise(name)

    def connect(self, name):
        """As advertise()."""
        return self.board("connects to " + wire.checked_name(name)).connect(name)

    def meet(self, name, services=()):  # noqa: ARG002
        """As advertise(), each time for another board: one that restarts is air.board(address).meet(name)."""
        return self.board("%d meets %s" % (len(self._boards), wire.checked_name(name))).meet(name)

    def drop(self):
        """All connections are lost, and both sides know it at once."""
        for role in self._roles:
            role.drop()

    def power_off(self, link):
        """The board of this link loses its power: it says nothing more, and the link is closed.

        The other side has to notice, in supervision_ms. With power again a board has a new link.
        """
        link._role.power_off()


class _BoardRadio:
    def __init__(self, air, address):
        self.air = air
        self.address = address
        self.board = Board()

    def advertise(self, name, services=()):  # noqa: ARG002
        return _Advertises(name, self)

    def connect(self, name):
        return _Connects(name, self)

    def meet(self, name, services=()):  # noqa: ARG002
        return _Meets(name, self)


class _Role:
    TROUBLES = (OSError, MemoryError)
    TEND_MS = _LOOK_MS
    folder = ""
    irq_errors = 0
    rssi = None

    def __init__(self, name, radio):
        self.name = wire.checked_name(name)
        self.identity = struct.pack("<II", binascii.crc32(radio.address.encode()), 1)
        self.handle = -1
        self.ticks = 0
        self.radio = radio
        self.air = radio.air
        self.policy = None
        self.calls = False  # is it known to take packets?
        self._other = None  # the role at the other end
        self._inbox = []  # (when it may be taken, packet)
        self._lost_at = None  # when the supervision timeout ends this connection

    def serve(self, policy):
        self.policy = policy
        policy.transmit = self._transmit

    async def claim(self):
        await self.radio.board.claim(self)
        self.air._roles.append(self)

    def release(self):
        if self in self.air._roles:
            self.air._roles.remove(self)
        return self.radio.board.release(self)

    def join(self, other):
        """The other half of a connection is this role's."""
        self._other = other
        self._inbox = []
        self._lost_at = None
        address = other.radio.address
        self.policy.adopt(ticks_ms(), address, address)
        self.handle = 0

    def drop(self):
        """There is no connection any more."""
        if self.handle >= 0:
            self.handle = -1
            self._other = None
            self.policy.wake.set()

    def lose(self):
        """Nothing comes from the other side any more, and it has to be noticed."""
        if self._lost_at is None:
            self._lost_at = ticks_add(ticks_ms(), self.air.supervision_ms)

    def power_off(self):
        if self._other:
            self._other.lose()
        self.drop()
        self.policy.shut("the board has lost its power")

    async def hang_up(self):
        if self._other:
            self._other.drop()
        self.drop()
        return True

    def restart(self):
        pass

    def tend(self):
        self.ticks = (self.ticks + 1) & 0xFF
        if self.handle < 0:
            return
        now = ticks_ms()
        if not self.air.in_range:
            self.lose()
        elif self._other._other is self:
            self._lost_at = None
        if self._lost_at is not None:
            if ticks_diff(now, self._lost_at) >= 0:
                self.drop()
            return
        inbox = self._inbox
        while inbox and ticks_diff(now, inbox[0][0]) >= 0:
            self._arrive(inbox.pop(0)[1], now)

    def _arrive(self, packet, now):
        if self.policy.connection >= READY:
            self.policy.feed(packet, now)
        else:  # the first one only says that the other side takes packets
            self.policy.call(self.air.mtu)
            self.policy.wake.set()

    def _transmit(self, packet):
        other = self._other
        if other is None:
            raise OSError(_ENOTCONN, "there is no connection")
        if other._other is not self:
            return  # its board has no power
        if len(other._inbox) >= self.air.queue:
            raise OSError(_ENOMEM, "the host stack is full")
        if random.random() >= self.air.loss:
            other._inbox.append((ticks_add(ticks_ms(), self.air.delay_ms), bytes(packet)))


class _Advertises(_Role):
    advertising = False

    async def establish(self):
        self.policy.limit(ticks_ms(), _ADVERTISE_MS)
        try:
            await self.wait(_ADVERTISE_MS * 2)
        except asyncio.CancelledError:
            if self.policy.life < CLOSED and self.handle < 0:
                self.policy.nobody(ticks_ms(), self.name)
            raise

    async def wait(self, ms):
        """Advertise for so long. Returns whether somebody has connected."""
        until = ticks_add(ticks_ms(), ms)
        self.advertising = True
        try:
            while self.handle < 0 and ticks_diff(until, ticks_ms()) > 0:
                await sleep_ms(_LOOK_MS)
        finally:
            self.advertising = False
        return self.handle >= 0


class _Connects(_Role):
    async def establish(self):
        while True:
            self.policy.limit(ticks_ms(), _SEEK_MS + 1000)
            others = set()
            if await self.look(_SEEK_MS, others):
                return
            self.policy.not_found(ticks_ms(), self.name, others)

    async def look(self, ms, others):
        """Look for the board of this name for so long, and connect to it. Returns whether it did."""
        until = ticks_add(ticks_ms(), ms)
        while ticks_diff(until, ticks_ms()) > 0:
            for role in self.air._roles:
                if self.air.in_range and getattr(role, "advertising", False):
                    if self._is_wanted(role):
                        role.advertising = False
                        role.join(self)
                        self.join(role)
                        self.policy.call(self.air.mtu)
                        return True
                    if role.name != self.name:
                        others.add(role.name)
            await sleep_ms(_LOOK_MS)
        return False

    def _is_wanted(self, role):
        return role.name == self.name and not self.policy.shuns(ticks_ms(), role.radio.address)


class _Meets(_Advertises, _Connects):
    async def establish(self):
        await meet(self, self.policy)
