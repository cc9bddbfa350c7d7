"""Channels of which only the newest value counts: link.newest(channel)."""

from . import flags as fl
from .errors import LinkClosedError
from .policy import payload_of
from .runtime import DONE, const
from .sorting import taker
from .wire import HEADER

_AHEAD = const(16)  # values on their way at once, at most: packets of a window


class Values:
    """The newest values of a link's side, for its policy.

    channels: Newest objects.   too_large: values that the other board's ring cannot hold.
    most: bytes of a value.
    """

    def __init__(self, policy):
        self.channels = []
        self.too_large = 0
        self.most = policy.tx_size // 4 - HEADER
        self._policy = policy
        self._send_nowait = policy.send_nowait
        self._send_first = policy.send_first
        policy.values = self
        policy.set_path()
        # From now on ordinary messages leave room for values.
        policy.send_nowait = self.send_nowait
        policy.send_first = self.send_first

    def waiting(self):
        """How many values the engine has not got."""
        return sum([channel._waits for channel in self.channels]) if self._policy.values_wait else 0

    def set_again(self):
        """The value set last of each channel waits, as if it was set again."""
        for channel in self.channels:
            channel._waits = channel._value is not None
        self._policy.values_wait = True

    def hand_over(self):
        """Give the engine the values that go with the next packet."""
        policy = self._policy
        # A large message in line gets its turn: values on their way would keep it out for ever.
        if policy.line and len(policy.line[0][0]) > policy.tx_size // 2:
            return
        policy.values_wait = False  # and those of the channels, before it looks: a handler may set one
        for channel in self.channels:
            if channel._waits:
                channel._waits = False
                if not self._takes(channel):
                    channel._waits = policy.values_wait = True

    def _takes(self, channel):
        policy = self._policy
        try:
            return policy.engine.send(channel._value, channel.channel, channel._kind)
        except ValueError:
            self.too_large += 1
            policy.note(fl.TOO_LARGE)
            return True

    def send_nowait(self, message, channel=0):
        """As Policy.send_nowait()."""
        if self._would_crowd(len(payload_of(message)[0])):
            self._policy.check_open()
            return False
        return self._send_nowait(message, channel)

    def send_first(self, payload, channel, kind=None):
        """As Policy.send_first()."""
        if self._would_crowd(len(payload)):
            self._policy.check_open()
            return False
        return self._send_first(payload, channel, kind)

    def _would_crowd(self, size):
        """Whether it would leave no room for values. In an empty ring every message has its place."""
        policy = self._policy
        pending = policy.engine.pending()
        return pending and pending + size + HEADER + policy.reserve > policy.tx_size


class Newest:
    """A channel of a link of which only the newest value counts: use it through link.newest(channel).

    The other side need not do the same: without link.newest() it gets the values by recv(), those that went.

    channel: int, its number.
    _waits: is the value set last to go yet?   _kind, _value: that one; None: none was set.
    """

    def __init__(self, channel, policy, link):
        self.channel = channel
        self._waits = False
        self._kind = fl.NEWEST
        self._value = None
        self._policy = policy
        self._link = link
        self._kept = 0  # bytes of the ring that ordinary messages leave to this channel
        self._latest = None
        self._is_new = False

    def send(self, value):
        """Set the value. It replaces one that is not on its way yet, and overtakes what waits in the ring.

        Never waits, but may be awaited; handlers of pins and timers may call it. The value that was set last
        always arrives, as any message does; also at a board that has restarted.

        value: what can be sent; its payload has at most a quarter of tx_size, less 4 bytes.
        Raises TypeError or ValueError for anything else, LinkClosedError when the link is closed, and
        RuntimeError when it was not opened.
        """
        payload, kind = payload_of(value)
        size = len(payload)
        policy = self._policy
        most = policy.values.most
        if size > most:
            raise ValueError("a value has at most %d bytes here, a quarter of tx_size: not %d" % (most, size))
        policy.check_open()
        kept = min(_AHEAD * (size + HEADER), most)
        if kept > self._kept:
            policy.reserve += kept - self._kept
            policy.set_path()
            self._kept = kept
        self._kind = kind | fl.NEWEST
        self._value = payload
        self._waits = True
        policy.values_wait = True
        policy.wake_idle()
        return DONE

    def latest(self):
        """The newest value that has come, as recv() gives it; None: none has come yet. Does not wait."""
        self._link._engine.readable()
        return self._latest

    async def recv(self, timeout_ms=None):
        """Wait for a value that is newer than what recv() gave last: the newest that has come.

        Raises LinkClosedError after the last, asyncio.TimeoutError when none comes in timeout_ms (int, ms).
        """
        await self._link._wait_message(LinkClosedError, timeout_ms, self._has_come)
        self._is_new = False
        return self._latest

    def _ready(self):
        """See picolink.sorting.Sorter."""
        return True

    def _take(self, _kind, value):
        """See picolink.sorting.Sorter: a value has come."""
        self._latest = value
        if not self._is_new:
            self._is_new = True
            self._link._tell_readers()

    def _has_come(self):
        self._link._engine.readable()
        return self._is_new


def open_channel(link, channel):
    """The Newest of a link's channel: the same one each time."""
    if isinstance(channel, bool) or not isinstance(channel, int):
        raise TypeError("channel must be an int, not %r" % (channel,))
    if not 0 <= channel <= 15:
        raise ValueError("channel must be 0 to 15, not %d" % channel)
    found = taker(link, channel, Newest)
    if found is None:
        policy = link._policy
        if not policy.values:
            Values(policy)
            link.send_nowait = policy.send_nowait
        found = link._engine.takers[channel] = Newest(channel, policy, link)
        policy.values.channels.append(found)
    return found
