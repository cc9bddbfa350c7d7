"""The message engine in Python: the reference of docs/protocol.md, and the fallback for the native module.

Sans-IO: it never sleeps, never touches a radio, never reads a clock. Bytes and milliseconds go in, bytes and
decisions come out. It runs on MicroPython and on CPython, and gives the same bytes as native/picolink.c for
the same calls.
"""

import struct
from array import array
from binascii import crc32

from . import checks
from .flags import (
    BROKEN,
    BYE,
    CLOSED,
    CONTRADICTED,
    COUNTERS,
    FORGOTTEN,
    GREETING,
    IDLE,
    KEY_WANTED,
    KEY_WRONG,
    NONSENSE,
    OPEN,
    OPENED,
    OTHER_VERSION,
    PACKETS_SMALL,
    PARTNER_KNOWN,
    PEER_ENDED,
    PEER_RESTARTED,
    PULL,
    READABLE,
    REFUSED,
    TOO_LARGE,
    WRITABLE,
    stats,
)

try:
    from micropython import const
except ImportError:  # CPython

    def const(value):
        return value


VERSION = const(2)  # docs/protocol.md, "Versions and features"

# Packets: docs/protocol.md, "Packets".
_HELLO = const(0x01)
_IDENTITY = const(0x21)
_BYE = const(0x41)
_KEYED = const(0x61)  # HELLO of a side with a key
_KIND = const(0x61)
_READY = const(0x02)
_RENEWED = const(0x10)
_ASK = const(0x04)
_GAP = const(0x08)
_OVERRUN = const(0x10)
_COMMIT = const(0x20)
_FEATURE_KEYED = const(0x01)
_FEATURE_COMMIT = const(0x02)
_HEADER = const(8)
_OVERHEAD = const(12)
_GREETING_SIZE = const(20)
_KEYED_OVERHEAD = const(18)
_KEYED_SIZE = const(44)
_PROVEN_BYE_SIZE = const(28)
_KEYED_LARGEST = const(47)  # the least
_COUNTERS_MAX = const(0x10000)  # packets under one key
_MAX_PACKET = const(244)
_MAX_SENT = const(236)
_PDU = const(27)  # LL payload without data length extension: Core spec vol 6 part B 4.5.10
_ATT_HEADER = const(3)
_PDU_HEADERS = const(7)  # L2CAP header (4) and ATT opcode and handle (3)
_CRC_RESIDUE = const(0x2144DF1C)  # CRC-32 of any packet with its own CRC-32 behind it

# Records: docs/protocol.md, "Records".
_TYPE = const(0x30)
_TEXT = const(0x10)
_OBJECT = const(0x20)
_END = const(0x30)  # the only record of type 3
_NEWEST = const(0x40)
_TYPE_3_NEWEST = const(0x70)

_OFFSET = const(0xFFFF)  # offsets are modulo 2^16
_BEHIND = const(0x8000)  # a difference from here on means "behind"
_PAST = const(0x20000000)  # a difference of times from here on means "before"
_TICKS = const(0x3FFFFFFF)  # milliseconds are modulo 2^30, as ticks_ms on boards

# Timers in ms: docs/protocol.md, "Timers".
_HELLO_MS = const(250)
_ACK_MS = const(30)
_RTO_FIRST_MS = const(1000)
_RTO_MIN_MS = const(300)
_RTO_MAX_MS = const(8000)
_PATIENCE_MIN_MS = const(10)
_DOUBT_MS = const(500)
_ANSWERS = const(4)  # to HELLO, in _HELLO_MS
_DOUBTS = const(4)  # impossible packets in a row
_COMMIT_MS = const(30)
_BACKOFF_MAX = const(3)
_REFILLS_MAX = const(7)

_FLIGHT_MAX = const(128)  # packets
_QUEUE_MS = const(6000)  # flight limit times round trip, at most: a slow way is kept short
_FLIGHT_FIRST = const(2)  # packets: the flight limit at first, and the least but after a timeout
_FLIGHT_LOSSY = const(4)  # packets: gaps do not push the flight limit below this
_ASK_AHEAD = const(2)  # packets: after losses an answer is asked for this many before half the limit
_HELD_MAX = const(8)  # packets that came while another engine call was under way

# What is due before any data packet, in the order in which it goes.
_NOTHING = const(0)
_DUE_HELLO = const(1)
_DUE_GREETING = const(2)  # IDENTITY, then HELLO
_DUE_BYE = const(3)

_NOBODY = bytes(4)  # in the place of a session id

(
    _MESSAGES_SENT,
    _MESSAGES_RECEIVED,
    _MESSAGES_ACKNOWLEDGED,
    _PACKETS_SENT,
    _PACKETS_RECEIVED,
    _ACKS_ALONE,
    _RETRANSMITTED,
    _TIMEOUTS,
    _GAPS_RESENT,
    _PROBES,
    _GAPS,
    _DUPLICATES,
    _CORRUPT,
    _MALFORMED,
    _STALE,
    _EARLY,
    _OVERRUNS,
    _STRANGERS,
    _CONTRADICTIONS,
    _DROPPED,
    _OPENED,
    _PEER_RESTARTS,
    _RESENT,
    _TOO_LARGE,
    _REPLAYED,
    _UNPROVEN,
) = range(26)


_METHODS = (
    "send",
    "recv",
    "recv_into",
    "pull_into",
    "feed",
    "_queue",
    "_make_way",
    "_sendable",
    "_pull",
    "_launch",
    "_seal",
    "_take",
    "_decode",
    "_take_ack",
    "_acknowledge",
    "_free",
    "_take_stream",
    "_scan",
    "_next_size",
    "_release",
    "_credit_due",
    "wait",
    "take_flags",
    "_timeout",
    "_gap_timeout",
    "_pull_due",
    "_commit_wait",
    "_rewind",
    "_fill",
    "_measure",
    "_take_report",
    "_owe_ack",
    "_knows",
    "_payload_size",
    "_record_total",
    "_hold",
    "_done",
)


def _checked(name, value):
    if not isinstance(value, int) or isinstance(value, bool):
        checks.wrong(checks.NO_INT, name, value)
    low, high = checks.LIMITS[name]
    if not low <= value <= high:
        checks.wrong(checks.RANGE, name, value)
    return value


def _ring_size(name, value):
    _checked(name, value)
    if value & (value - 1):
        checks.wrong(checks.POWER, name, value)
    return value


def _identity(value):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        checks.wrong(checks.NO_BYTES, "identity", value)
    identity = bytes(value)
    if len(identity) != 8 or identity == bytes(8):
        checks.wrong(checks.IDENTITY, "identity", value)
    return identity


def _secret(name, value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value)
        if len(value) == 32:
            return value
    return checks.wrong(checks.SECRET, name, None)


def _kind_bits(kind):
    """What a kind adds to a record's first byte."""
    if not isinstance(kind, int) or isinstance(kind, bool):
        checks.wrong(checks.NO_INT, "kind", kind)
    if not 0 <= kind <= 6 or kind == 3:
        checks.wrong(checks.KIND, "kind", kind)
    return kind << 4


def _copied(data):
    """The bytes of something whose items are bytes; None for anything else."""
    try:
        copy = bytes(memoryview(data))
        if len(copy) == len(data):  # else its items are larger than bytes
            return copy
    except TypeError:
        pass
    return None


def _message_bytes(data):
    copy = data.encode() if isinstance(data, str) else _copied(data)
    if copy is None:
        checks.wrong(checks.NO_MESSAGE, None, data)
    return copy


def _typed(data):
    """A message that is not bytes: its payload, and its type in a record's first byte."""
    if isinstance(data, str):
        return data.encode(), _TEXT
    copy = _copied(data)
    if copy is not None:
        return copy, 0
    from .objects import pack

    return pack(data), _OBJECT


class Engine:
    """One side of a link.

    session: int, 1 to 2^32 - 1, random: names this side's life, from construction to loss of power.
    identity: bytes-like, 8 bytes that are not all 0: names this board, PC or page in all its lives.
    tx_size, rx_size: bytes of the rings, powers of two from 256 to 32768.
    window: bytes that may be on their way in the host stack and the air, 256 to 65535; the flight limit in
        packets follows from it and from the packet size.
    commit: whether the peer keeps what it has sent until commit() is called here.
    key: 32 bytes: this side serves only those who have them too; None: anyone.
    seed: with a key, 32 bytes that no other session with it has had.

    Raises TypeError or ValueError for anything else, RuntimeError where there is no AES for a key.

    state: IDLE, GREETING, OPEN or CLOSED.   ended: True once recv() has come to the peer's END.
    peer_version: the protocol version of the peer that was opened with, or refused for it, last.
    reason: why a connection was ended last, by either side (docs/protocol.md, "BYE"); 0: none was.
    partner: the identity of the one that this side serves, or None.
    """

    def __init__(
        self,
        session,
        identity,
        tx_size=8192,
        rx_size=8192,
        window=4096,
        commit=False,
        key=None,
        seed=None,
    ):
        self._session = _checked("session", session)
        self._identity = _identity(identity)
        self._tx = memoryview(bytearray(_ring_size("tx_size", tx_size)))
        self._rx = memoryview(bytearray(_ring_size("rx_size", rx_size)))
        self._tx_mask = tx_size - 1
        self._rx_mask = rx_size - 1
        self._window = _checked("window", window)
        self._keys = None
        if key is not None:
            key = _secret("key", key)
            seed = _secret("seed", seed)
            from .keyed import Keys

            self._keys = Keys(key, seed)
        self._me = session.to_bytes(4, "little")
        self._tag = session & 0xFF
        self.state = IDLE
        self.ended = False
        self.peer_version = 0
        self.reason = 0
        self.partner = None
        self._flags = 0
        self._count = [0] * (len(COUNTERS) - 2)
        self._largest = 20  # bytes of a packet: what one ATT value can hold
        self._size = 20  # bytes of a packet that this side makes
        self._space = 8  # of these, for stream bytes

        # The peer in force, the one last heard in this handshake, and the one that has said who it is.
        self._peer = _NOBODY
        self._peer_tag = 0
        self._peer_ring = 0
        self._peer_commits = False
        features = (_FEATURE_COMMIT if commit else 0) | (_FEATURE_KEYED if self._keys else 0)
        self._terms = bytes((_bits(rx_size), features))  # of HELLO: ring, features
        self._peer_terms = bytes(2)
        self._crc_out = 0  # what the CRC of data packets starts with
        self._crc_in = 0
        self._record_limit = tx_size  # bytes of a record: what both rings can hold
        self._heard = _NOBODY
        self._heard_tag = 0
        self._introduced = _NOBODY
        self._introduced_as = self._identity
        self._introduced_largest = 20
        self._renewed = False  # a session of the peer came before the one in force
        self._anew = False  # this session has taken the place of another one, and was not open yet
        self._broken = False  # the peer's stream could not be read on
        self._due = _NOTHING
        self._hello_at = 0

        # Impossible packets in a row, and since when.
        self._doubts = 0
        self._doubt_at = 0
        self._answers = 0  # to HELLO, and since when they are counted
        self._answers_at = 0

        # Transmit ring: tail <= committed <= una <= nxt <= high <= head, all modulo 2^16.
        self._tail = 0  # first byte of the first message that is not wholly acknowledged (or committed)
        self._peer_committed = 0  # first byte not committed; only where the peer commits
        self._una = 0  # first byte not acknowledged
        self._nxt = 0  # next byte to send
        self._high = 0  # end of what was ever sent
        self._head = 0  # end of what is queued
        self._tx_base = 0  # where offset 0 of the stream to this peer stands in the ring
        self._edge = 0  # the peer's credit ends here
        self._end_queued = False

        # Packets in flight: where each ends.
        self._ends = array("H", [0] * _FLIGHT_MAX)
        self._ends_first = 0
        self._flight = 0
        self._flight_max = 1
        self._limit = 1
        self._threshold = 1  # below it the limit grows with each packet acknowledged, above with each flight
        self._grown = 0
        self._since_ask = 0

        # The gap that the peer has reported: it begins at una.
        self._gap_end = -1  # -1: none
        self._filling = False  # it is being sent again; then sending goes on at `high`
        self._refills = 0  # how often it was sent again before
        self._gap_again = False  # it was reported again since
        self._filled_at = 0  # when it was last sent again, or grew smaller
        self._patience = 0  # ms from then until it is sent once more

        # Retransmission timer (RFC 6298 in integers: srtt times 8, variance times 4).
        self._timer_at = 0
        self._backoff = 0  # timeouts since a round trip was measured, _BACKOFF_MAX at most
        self._probed = 0  # probes since credit or a commit came, likewise
        self._srtt8 = 0
        self._var4 = 0
        self._rto = _RTO_FIRST_MS
        self._timing = False
        self._timed_pos = 0
        self._timed_at = 0

        # Receive ring: read <= whole <= rcv, all modulo 2^16.
        self._read = 0  # next byte for the application
        self._whole = 0  # end of the last whole record
        self._rcv = 0  # next byte expected
        self._need = 2  # bytes from `whole` on that decide about the record there
        self._rx_base = 0
        self._edge_sent = 0
        self._gap = False  # bytes from `kept` to `kept_end` have come, those from `rcv` to `kept` have not
        self._kept = 0
        self._kept_end = 0
        self._ack_now = False
        self._ack_owed = False
        self._ack_at = 0
        self._also = 0  # ASK and OVERRUN for the next packet

        # What the application has committed.
        self._commits = bool(commit)
        self._committed = 0  # first byte that it has not
        self._old = 0  # so many messages are read when all those of dead sessions are
        self._commit_due = False
        self._commit_sent = False  # on this connection
        self._commit_at = 0

        # On a board feed() may come between any two bytecodes of another call: then the packet is held here.
        self._busy = False
        self._held_in = 0
        self._held_out = 0
        self._held_packets = memoryview(bytearray(_HELD_MAX * _MAX_PACKET))
        self._held_sizes = [0] * _HELD_MAX
        self._held_times = [0] * _HELD_MAX

        # MicroPython looks for a method among all of these first, which takes longer than most methods do.
        # With so many the table has just grown: in one that is nearly full each look takes twice as long.
        for name in _METHODS:
            setattr(self, name, getattr(self, name))

    def start(self, mtu, now):
        """Begin a new connection: handshake again, resume the session if the peer still lives.

        mtu: ATT MTU in bytes, 23 to 517.   now: ms, modulo 2^30.
        """
        _checked("mtu", mtu)
        self._busy = True
        try:
            if self._broken:
                self._renew()  # what the peer's stream held next is unknown
            self._largest = min(mtu - _ATT_HEADER, _MAX_PACKET)
            self._introduced = _NOBODY
            self._answers = 0
            self._greet(now)
            if self._keys:
                self._heard = _NOBODY  # its random of this connection is not known yet
                self._heard_tag = 0
                if self._largest < _KEYED_LARGEST:
                    self._refuse(PACKETS_SMALL)
        finally:
            self._done()

    def bye(self, reason):
        """End this connection: the peer is told why. Nothing happens where there is none.

        reason: 1 to 255 (docs/protocol.md, "BYE").
        """
        _checked("reason", reason)
        self._busy = True
        if self.state == GREETING or self.state == OPEN:
            self._close(reason)
        self._done()

    def set_partner(self, identity):
        """Whom this side serves: an identity of 8 bytes, or None: whoever a handshake is done with first."""
        if identity is not None:
            identity = _identity(identity)
        self._busy = True
        self.partner = identity
        if identity is not None and identity != self._introduced_as:
            self._introduced = _NOBODY
        self._done()

    def send(self, data, channel=0, kind=None):
        """Queue one message. Returns True, or False when nothing was taken: there is no room now, end() was
        called, or an interrupt handler calls in the middle of another call.

        data: bytes, bytearray, memoryview, str (sent as UTF-8), or what picolink.objects.pack() takes.
        channel: 0 to 15.
        kind: BYTES, TEXT or OBJECT, plus NEWEST (flags.py): what the peer's application is told of it. Then
            data is bytes-like or str. None: what data is. With NEWEST it overtakes what was not sent yet, and
            is taken only if it begins in the next packet.
        Raises ValueError for a message that the transmit ring or the peer's receive ring can never hold, and
        what pack() raises.
        """
        # The usual types first: a call costs as much as the rest of it.
        first = 0
        if type(data) is not bytes:
            if kind is None:
                data, first = _typed(data)
            else:
                data = _message_bytes(data)
        if type(channel) is not int or not 0 <= channel <= 15:
            _checked("channel", channel)
        if kind is not None:
            first = _kind_bits(kind)
        first |= channel
        if self._busy:
            return False
        size = len(data)
        total = size + 2 if size < 0x80 else _record_size(size)
        self._busy = True  # before the limit is read: a HELLO may bring a new one
        try:
            if total > self._record_limit:
                checks.wrong(checks.LONG, size, self._record_limit)
            if self._end_queued or not self._queue(first, data, size, total):
                return False
            self._count[_MESSAGES_SENT] += 1
            return True
        finally:
            self._busy = False
            if self._held_in != self._held_out:
                self._done()

    def end(self):
        """Queue the END record: nothing follows it. Returns whether it is queued, or was before."""
        if self._busy:
            return False
        self._busy = True
        try:
            if not self._end_queued:
                self._end_queued = self._queue(_END, b"", 0, 2)
            return self._end_queued
        finally:
            self._done()

    def commit(self):
        """All that was read is safe: the peer need not keep it. Raises ValueError without commit=True."""
        if not self._commits:
            checks.wrong(checks.COMMIT, None, None)
        self._busy = True
        # What dead sessions have sent is nobody's any more.
        if self._count[_MESSAGES_RECEIVED] >= self._old:
            read = (self._read + 2) & _OFFSET if self.ended else self._read
            if read != self._committed:
                self._committed = read
                self._commit_due = True
        self._done()

    def readable(self):
        """0x100 + the first byte of the message that recv() has to give, or 0: it has none."""
        if self._next_size() < 0:
            return 0
        return 0x100 | self._rx[self._read & self._rx_mask]

    def recv(self, raw=False):
        """The next message as (channel | kind << 4, message), or None for none.

        The message is what was sent: bytes, str or an object; with raw, the bytes of its payload.
        Raises ValueError, and it is gone, when the payload is not what its kind says.
        """
        size = self._next_size()
        if size < 0:
            return None
        ring = self._rx
        start = (self._read + _record_size(size) - size) & self._rx_mask
        data = bytes(ring[start : start + size])
        if len(data) < size:
            data += bytes(ring[: size - len(data)])
        first = ring[self._read & self._rx_mask]
        if first & _TYPE and not raw:
            try:
                if first & _OBJECT:
                    from .objects import unpack

                    data = unpack(data)
                else:
                    data = str(data, "utf8")
            except ValueError:
                self._release(size)
                raise
        message = first, data  # before the release: there may be no memory for it
        self._release(size)
        return message

    def recv_into(self, buf):
        """The next message into buf. Returns (channel | kind << 4) << 16 | length in bytes, or -1 for none.

        Raises ValueError when buf is too small; the message stays.
        """
        size = self._next_size()
        if size < 0:
            return -1
        if len(buf) < size:
            checks.wrong(checks.BUFFER, size, len(buf))
        ring = self._rx
        start = (self._read + (2 if size < 0x80 else _record_size(size) - size)) & self._rx_mask
        fits = self._rx_mask + 1 - start
        if size <= fits:
            buf[:size] = ring[start : start + size]
        else:
            buf[:fits] = ring[start:]
            buf[fits:size] = ring[: size - fits]
        return self._release(size) << 16 | size

    def pull_into(self, buf, now):
        """The next packet for the air into buf. Returns its length in bytes, 0 when there is nothing to say.

        buf: bytearray or memoryview of 236 bytes or more.   now: ms, modulo 2^30.
        """
        if len(buf) < _MAX_SENT:
            checks.wrong(checks.PACKET, _MAX_SENT, len(buf))
        self._busy = True
        try:
            return self._pull(buf, now)
        finally:
            self._busy = False
            if self._held_in != self._held_out:
                self._done()

    def feed(self, packet, now):
        """Take a packet from the air. Returns the flags raised since take_flags(); its content never raises.

        packet: bytes, bytearray or memoryview, only used during the call.   now: ms, modulo 2^30.
        """
        if self._busy or self._held_in != self._held_out:
            try:
                self._hold(packet, now)
            except MemoryError:
                self._count[_DROPPED] += 1
            if not self._busy:
                self._done()
        else:
            self._take(packet, now)
        return self._flags

    def take_flags(self):
        """The flags raised since the last call, which clears them. 0 inside another call of this engine."""
        if self._busy:
            return 0
        self._busy = True
        flags = self._flags
        self._flags = 0
        self._done()
        return flags

    def wait(self, now):
        """ms until pull_into() has something to say by itself: 0 for now, -1 for nothing in sight."""
        if self._due:
            return 0
        if self.state == GREETING:
            return max(0, _HELLO_MS - _elapsed(now, self._hello_at))
        if self.state != OPEN:
            return -1
        if self._ack_now or self._credit_due() or self._sendable():
            return 0
        wait = -1
        if self._ack_owed:
            wait = max(0, self._ack_delay() - _elapsed(now, self._ack_at))
        if self._commit_due and not self._gap:
            commit = self._commit_wait(now)
            if wait < 0 or commit < wait:
                wait = commit
        if self._gap_again:
            again = max(0, self._gap_timeout() - _elapsed(now, self._filled_at))
            if wait < 0 or again < wait:
                wait = again
        if self._tail != self._head:
            timer = max(0, self._timeout() - _elapsed(now, self._timer_at))
            if wait < 0 or timer < wait:
                wait = timer
        return wait

    # Not a property: with one, MicroPython searches the class at every assignment to an attribute.
    def pending(self):
        """Bytes in the transmit ring that belong to messages not wholly acknowledged."""
        return (self._head - self._tail) & _OFFSET

    def acknowledged(self):
        """How far the peer has acknowledged: a place in the stream, bytes modulo 2^16, that moves on."""
        return self._una

    def stats(self):
        """A dict of counters since construction, of "rtt_ms" (smoothed) and of "flight_limit" (packets)."""
        return stats(self._count + [self._srtt8 >> 3, self._limit])

    # -- handshake ----------------------------------------------------------------------------------------

    def _greet(self, now):
        """Begin a handshake under a new tag, which makes every packet sent to the old one stale."""
        if self._keys:
            self._keys.draw()  # first: without memory for it, nothing has begun
        self._tag = (self._tag + 1) & 0xFF
        self.state = GREETING
        self._heard = self._peer
        self._heard_tag = self._peer_tag
        self._due = _DUE_GREETING
        self._hello_at = now

    def _renew(self):
        """Go on as a restarted board would: under the next session id, knowing no peer."""
        session = crc32(self._identity, self._session) or 1
        self._me = session.to_bytes(4, "little")
        self._session = session
        self._peer = _NOBODY
        self._peer_tag = 0
        self._renewed = self._broken = False
        self._anew = True

    def _close(self, reason):
        """This side ends the connection."""
        if self._keys:
            self._keys.proven = self.state == OPEN
        self.state = CLOSED
        self.reason = reason
        self._due = _DUE_BYE

    def _refuse(self, reason):
        self._close(reason)
        self._flags |= REFUSED | PULL

    def _answer(self, now):
        """Send a greeting, at most every 250 ms, so that a peer that is wrong about this side finds out."""
        if (now - self._hello_at) & _TICKS >= _HELLO_MS:
            self._due = _DUE_GREETING
            self._ack_now = True
            self._flags |= PULL

    def _doubt(self, now):
        """A packet cannot be. Returns whether a handshake has begun, to find out."""
        if not self._doubts:
            self._doubt_at = now
        self._doubts += 1
        if self._doubts >= _DOUBTS and (now - self._doubt_at) & _TICKS >= _DOUBT_MS:
            self._greet(now)
            return True
        self._also |= _ASK
        self._ack_now = True
        return False

    def _contradicted(self, now):
        """What this side knows of its peer cannot be true."""
        self._count[_CONTRADICTIONS] += 1
        self._flags |= CONTRADICTED | PULL
        self._renew()
        self._greet(now)

    def _take_greeting(self, packet, now):
        count = self._count
        greeting = self.state == GREETING
        if packet[1] != VERSION:
            count[_MALFORMED] += 1
            if greeting:
                self.peer_version = packet[1]
                self._refuse(OTHER_VERSION)
            return
        kind = packet[0] & _KIND
        session = bytes(packet[4:8])
        identity = bytes(packet[8:16])
        size = _GREETING_SIZE
        if kind == _KEYED:
            size = _KEYED_SIZE if self._keys else 0
        elif kind == _BYE and len(packet) > size:
            size = _PROVEN_BYE_SIZE
        good = len(packet) == size and session != _NOBODY
        if kind in (_HELLO, _KEYED):
            good = good and 8 <= packet[12] <= 15
        elif kind == _IDENTITY:
            good = good and 20 <= packet[3] <= _MAX_PACKET and identity != bytes(8)
        elif kind != _BYE:
            good = False
        if not good or (session == self._me and not self._keys):
            count[_MALFORMED] += 1
            if good and greeting and self._peer == _NOBODY:
                self._renew()  # two sides have drawn the same session id
                self._greet(now)
                self._flags |= PULL
            elif good and (greeting or self.state == OPEN):
                stranger = self.partner is not None and identity != self.partner
                if kind == _IDENTITY and not stranger and identity != self._identity:
                    self._contradicted(now)  # the partner has it, and may be deceived about this side as well
                elif not greeting:
                    self._answer(now)  # the peer may have begun anew, with it
        elif not greeting and self.state != OPEN:
            count[_EARLY] += 1
        elif kind == (_KEYED if self._keys else _HELLO):
            self._take_hello(packet, session, now)
        elif kind == _HELLO:
            count[_UNPROVEN] += 1
            if greeting:
                self._heard = session
                self._heard_tag = packet[2]
                self._refuse(KEY_WANTED)
        elif kind == _IDENTITY:
            self._take_identity(packet, session, identity)
        else:
            self._take_bye(packet, session)

    def _take_identity(self, packet, session, identity):
        if self.partner is None or identity == self.partner:
            self._introduced = session
            self._introduced_as = identity
            self._introduced_largest = packet[3]
            return
        self._count[_STRANGERS] += 1
        if self.state == GREETING:
            self._heard = session
            self._heard_tag = packet[2]
            self._refuse(PARTNER_KNOWN)

    def _take_bye(self, packet, session):
        answered = bytes(packet[8:12]) == self._me and packet[3] == self._tag
        if self.state == OPEN:
            answered = answered and session == self._peer
            if self._keys:
                answered = answered and len(packet) == _PROVEN_BYE_SIZE and self._keys.is_proven_bye(packet)
        if not answered:
            self._count[_STALE] += 1
            return
        self._close(packet[12])
        self._due = _NOTHING
        self._flags |= BYE | PULL

    def _take_hello(self, packet, session, now):
        flags = packet[0]
        tag = packet[2]
        answers = bytes(packet[8:12]) == self._me
        keys = self._keys
        named = session == self._introduced
        # No echo; and with a key this device never is the partner, in no other link of it either.
        if keys or session == self._me:
            named = named and self._introduced_as != self._identity
        proof = answers and packet[3] == self._tag and named
        if keys:
            random = bytes(packet[16:32])
            proven = proof and keys.is_proven(
                packet, random, packet[32:40], self._introduced_as, self._introduced_largest
            )
        if self.state == OPEN:
            if keys and not proven:
                known = session == self._peer and tag == self._peer_tag
                if not known or bytes(packet[12:14]) != self._peer_terms:
                    self._count[_STALE] += 1  # the partner knows what to say when it hears the answer
                    self._answer(now)
                    return
            if session != self._peer:
                if not named:
                    self._count[_EARLY] += 1
                    return
                self._greet(now)  # the partner began anew: so must this side
            elif bytes(packet[12:14]) != self._peer_terms:
                self._greet(now)
            elif tag != self._peer_tag:
                # From a handshake before this one? It never answers a tag that this side did not have yet.
                late = not answers or (packet[3] - self._tag) & 0xFF > 0x80
                if late and (tag - self._peer_tag) & 0xFF >= 0x80:
                    self._count[_STALE] += 1
                    self._answer(now)
                    return
                self._greet(now)
        greeting = self.state == GREETING
        if keys and (greeting or proven):
            keys.heard_random = random
        if greeting and proof and packet[3] == self._tag:
            if keys and not proven:
                self._count[_UNPROVEN] += 1
                self._heard = session
                self._heard_tag = tag
                self._refuse(KEY_WRONG)
                return
            if not self._open(packet, session, now):
                self._contradicted(now)
        self._heard = session
        self._heard_tag = tag
        if not flags & _READY and (self._due == _DUE_GREETING or self._may_answer(now)):
            self._due = _DUE_GREETING
            self._ack_now = True  # the peer has taken nothing since its handshake began: tell it its credit
        self._flags |= PULL

    def _may_answer(self, now):
        """Whether one more HELLO is answered: many of them do not fill the way to the peer with answers."""
        if (now - self._answers_at) & _TICKS >= _HELLO_MS:
            self._answers = 0
        if not self._answers:
            self._answers_at = now
        if self._answers >= _ANSWERS:
            return False
        self._answers += 1
        return True

    def _open(self, packet, session, now):
        """The peer has answered this very handshake: resume the streams, or begin new ones.

        Returns False, with nothing done, when it says what cannot be.
        """
        terms = bytes(packet[12:14])
        expected = packet[14] | packet[15] << 8
        if session == self._peer:
            pos = (expected + self._tx_base) & _OFFSET
            if terms != self._peer_terms or (pos - self._una) & _OFFSET > (self._high - self._una) & _OFFSET:
                return False
        elif expected:
            return False
        if self._keys:
            # First: without memory for it, nothing has happened. Such packets have tags, no CRC.
            crc_out = crc_in = None
            self._keys.opened(
                bytes((self._tag,)) + self._me + self._terms,
                self._identity,
                bytes(packet[2:3]) + session + terms,
                self._introduced_as,
                self._introduced_largest,
            )
        else:
            crc_out = crc32(self._me + session + self._terms + terms)
            crc_in = crc32(session + self._me + terms + self._terms)
        flags = OPENED | WRITABLE
        if session == self._peer:
            self._acknowledge(pos, now)
        else:
            if self._peer != _NOBODY:
                self._count[_PEER_RESTARTS] += 1
                self._renewed = True
                flags |= PEER_RESTARTED
            if packet[0] & _RENEWED and not self._anew:
                flags |= FORGOTTEN
            ring = 1 << terms[0]
            if self._begin_streams(ring):
                flags |= TOO_LARGE
            self._peer = session
            self._peer_terms = terms
            self._peer_ring = ring
            self._peer_commits = bool(terms[1] & _FEATURE_COMMIT)
            self._record_limit = min(self._tx_mask + 1, ring)
        self._crc_out = crc_out
        self._crc_in = crc_in
        self._anew = False
        self._count[_OPENED] += 1
        self._flags |= flags
        self._peer_tag = packet[2]
        self.partner = self._introduced_as
        self.peer_version = VERSION
        self.state = OPEN
        largest = min(self._largest, self._introduced_largest)
        self._size = min((largest + _PDU_HEADERS) // _PDU * _PDU - _PDU_HEADERS, _MAX_SENT)
        self._space = self._size - _OVERHEAD
        if self._keys:
            self._size = max(self._size, _KEYED_LARGEST)
            self._space = self._size - _KEYED_OVERHEAD
        self._flight_max = max(1, min(_FLIGHT_MAX, self._window // (self._size + _PDU_HEADERS)))
        self._threshold = self._flight_max
        self._limit = min(_FLIGHT_FIRST, self._flight_max)
        self._rewind()
        self._gap_end = -1
        self._filled_at = now
        self._patience = _RTO_MIN_MS
        self._since_ask = 0
        self._srtt8 = 0
        self._rto = _RTO_FIRST_MS
        self._timer_at = now
        self._backoff = self._probed = 0
        self._doubts = 0
        self._also = 0
        self._gap = False
        self._ack_now = True  # tells the peer its credit
        self._commit_due = self._commits
        self._commit_sent = False
        return True

    def _begin_streams(self, ring):
        """Both streams begin again at offset 0, with a whole record. Returns how many were too large."""
        mask = self._tx_mask
        pos = kept = self._tail
        removed = 0
        sent = (self._high - self._tail) & _OFFSET
        while pos != self._head:
            total = self._record_total(self._tx, pos)
            if total > ring:
                removed += 1
            else:
                if (pos - self._tail) & _OFFSET < sent and self._tx[pos & mask] != _END:
                    self._count[_RESENT] += 1
                if kept != pos:
                    for i in range(total):
                        self._tx[(kept + i) & mask] = self._tx[(pos + i) & mask]
                kept = (kept + total) & _OFFSET
            pos = (pos + total) & _OFFSET
        self._head = kept
        self._tx_base = self._una = self._nxt = self._high = self._edge = self._peer_committed = self._tail
        self._rx_base = self._rcv = self._edge_sent = self._committed = self._whole
        self._need = 2
        self._count[_TOO_LARGE] += removed
        self._old = self._count[_MESSAGES_RECEIVED]
        pos = self._read if self._commits else self._whole
        while pos != self._whole:
            self._old += 1  # END too, behind which nothing is read
            pos = (pos + self._record_total(self._rx, pos)) & _OFFSET
        return removed

    # -- sending ------------------------------------------------------------------------------------------

    def _queue(self, first, data, size, total):
        head = at = self._head
        ring = self._tx
        mask = self._tx_mask
        if total > mask + 1 - ((head - self._tail) & _OFFSET):
            return False
        if first & _NEWEST:
            at = self._make_way(total)
            if at < 0:
                return False
        ring[at & mask] = first
        if size < 0x80:
            ring[(at + 1) & mask] = size
        else:
            ring[(at + 1) & mask] = size & 0x7F | 0x80
            if size < 0x4000:
                ring[(at + 2) & mask] = size >> 7
            else:
                ring[(at + 2) & mask] = size >> 7 & 0x7F | 0x80
                ring[(at + 3) & mask] = size >> 14
        start = (at + total - size) & mask
        fits = mask + 1 - start
        if size <= fits:
            # A view that ends with the data: MicroPython moves all that lies behind a slice it stores to.
            view = ring[start : start + size]
            view[:] = data
        else:
            data = memoryview(data)
            ring[start:] = data[:fits]
            ring[: size - fits] = data[fits:]
        self._head = (head + total) & _OFFSET
        return True

    def _make_way(self, total):
        """Room for a newest value: in front of the messages of which nothing was sent, behind such values.

        Returns its offset; -1 where it would not begin in the next packet, or would go before a message that
        waits although the last thing sent was a value.
        """
        ring = self._tx
        mask = self._tx_mask
        at = tail = self._tail
        head = self._head
        sent = (self._high - tail) & _OFFSET
        before = 0
        record = tail
        # To the end: a message may wait before a value when both were sent to a peer that has restarted.
        while record != head:
            first = ring[record & mask]
            begun = (record - tail) & _OFFSET < sent
            size = ring[(record + 1) & mask]
            record = (record + (size + 2 if size < 0x80 else self._record_total(ring, record))) & _OFFSET
            if begun:
                before = first
            if begun or first & _NEWEST:
                at = record
        if at != head and before & _NEWEST:
            return -1
        nxt = self._nxt
        self._head = (head + total) & _OFFSET  # for a moment
        reached = self.state == OPEN and nxt == self._high and self._sendable() > (at - nxt) & _OFFSET
        self._head = head
        if not reached:
            return -1
        while head != at:
            # The last bytes first, as many as neither wrap nor are written over.
            size = min(total, (head - at) & _OFFSET, ((head - 1) & mask) + 1, ((head + total - 1) & mask) + 1)
            start = (head - size) & mask
            end = (head + total - size) & mask
            view = ring[end : end + size]
            view[:] = ring[start : start + size]
            head = (head - size) & _OFFSET
        return at

    def _sendable(self):
        """Stream bytes that the next packet may carry."""
        nxt = self._nxt
        size = (self._head - nxt) & _OFFSET
        if not size or self._flight >= self._limit:
            return 0
        if size > self._space:
            size = self._space
        if self._filling:
            size = min(size, (self._gap_end - nxt) & _OFFSET)
        credit = (self._edge - nxt) & _OFFSET
        if size > credit:
            # A packet cut short by the credit wastes air: only when nothing else is on its way.
            return 0 if self._flight else credit
        if credit >= _BEHIND and (self._edge - self._una) & _OFFSET < (nxt - self._una) & _OFFSET:
            return 0  # more was sent than there is room for
        return size

    def _pull(self, buf, now):
        state = self.state
        if self._due or (state == GREETING and _elapsed(now, self._hello_at) >= _HELLO_MS):
            return self._pull_due(buf, now)
        if state != OPEN:
            return 0
        if self._commit_due and not self._gap and not self._commit_wait(now):
            return self._pull_commit(buf, now)
        count = self._count
        flags = 0
        if self._gap_again and _elapsed(now, self._filled_at) >= self._gap_timeout():
            self._fill(now, self._refills + 1)
        size = self._sendable()
        if self._tail != self._head and _elapsed(now, self._timer_at) >= self._timeout():
            if self._una != self._high:
                count[_TIMEOUTS] += 1
                self._rewind()
                if self._limit > 1:
                    self._threshold = max(self._limit >> 1, _FLIGHT_FIRST)
                    self._limit = 1
                size = self._sendable()
                flags = _ASK
                self._timer_at = now
                self._backoff = min(self._backoff + 1, _BACKOFF_MAX)
            elif not size:
                count[_PROBES] += 1
                flags = _ASK
                self._timer_at = now
                self._probed = min(self._probed + 1, _BACKOFF_MAX)
        if not size and not flags:
            ack_due = self._ack_now or (self._ack_owed and _elapsed(now, self._ack_at) >= self._ack_delay())
            if not ack_due and not self._credit_due():
                return 0
            count[_ACKS_ALONE] += 1
        offset = self._nxt
        if size:
            ring = self._tx
            start = offset & self._tx_mask
            fits = self._tx_mask + 1 - start
            if size <= fits:
                buf[_HEADER : _HEADER + size] = ring[start : start + size]
            else:
                buf[_HEADER : _HEADER + fits] = ring[start:]
                buf[_HEADER + fits : _HEADER + size] = ring[: size - fits]
            flags |= self._launch(size, now)
        if self._gap:
            flags |= _GAP
            credit = (self._kept - self._rcv) & _OFFSET
        else:
            credit = self._rx_mask + 1 - ((self._rcv - self._read) & _OFFSET)
            self._edge_sent = (self._rcv + credit) & _OFFSET
        if self._also:
            flags |= self._also & ~_OVERRUN if self._gap else self._also
            self._also &= ~flags
        struct.pack_into(
            "<BBHHH",
            buf,
            0,
            flags,
            self._peer_tag,
            (offset - self._tx_base) & _OFFSET,
            (self._rcv - self._rx_base) & _OFFSET,
            credit,
        )
        self._ack_now = self._ack_owed = False
        return self._seal(buf, _HEADER + size, self._crc_out)

    def _commit_wait(self, now):
        """ms until the peer may be told what is committed."""
        if not self._commit_sent:
            return 0
        return max(0, _COMMIT_MS - ((now - self._commit_at) & _TICKS))

    def _pull_commit(self, buf, now):
        struct.pack_into(
            "<BBHHH",
            buf,
            0,
            _COMMIT,
            self._peer_tag,
            (self._nxt - self._tx_base) & _OFFSET,
            (self._rcv - self._rx_base) & _OFFSET,
            (self._rcv - self._committed) & _OFFSET,
        )
        self._commit_due = False
        self._commit_sent = True
        self._commit_at = now
        self._count[_ACKS_ALONE] += 1
        return self._seal(buf, _HEADER, self._crc_out)

    def _timeout(self):
        """ms without an acknowledgement until the next retransmission or probe."""
        return min(self._rto << (self._backoff if self._una != self._high else self._probed), _RTO_MAX_MS)

    def _ack_delay(self):
        """ms that an owed acknowledgement waits for stream bytes to ride on: longer on a slow radio, where a
        packet without is dear, while these wait for an acknowledgement themselves."""
        if self._flight >= self._limit and self._nxt != self._head:
            return max(_ACK_MS, self._srtt8 >> 6)  # an eighth of the round trip
        return _ACK_MS

    def _gap_timeout(self):
        """ms until a gap that is still reported is sent again."""
        return min(self._patience << self._refills, _RTO_MAX_MS)

    def _launch(self, size, now):
        """Account for `size` stream bytes from nxt on, now in flight. Returns the ASK flag or 0."""
        nxt = (self._nxt + size) & _OFFSET
        self._nxt = nxt
        if not self._flight:
            self._timer_at = now
        self._ends[(self._ends_first + self._flight) % _FLIGHT_MAX] = nxt
        self._flight += 1
        once = self._filling and not self._refills  # what it replaces is lost for certain
        if 0 < (nxt - self._high) & _OFFSET < _BEHIND:
            self._high = nxt
            once = True
        else:
            self._count[_RETRANSMITTED] += 1
        if once and not self._timing:
            self._timing = True
            self._timed_pos = nxt
            self._timed_at = now
        if self._filling and nxt == self._gap_end:
            self._filling = False
            self._nxt = self._high
            self._since_ask = 0
            return _ASK
        self._since_ask += 1
        limit = self._limit
        if limit < self._threshold or limit == self._flight_max:
            often = limit * 5 >> 3
        else:
            often = (limit >> 1) - _ASK_AHEAD
        if self._since_ask >= often or nxt == self._edge:
            self._since_ask = 0
            return _ASK
        return 0

    def _pull_due(self, buf, now):
        """IDENTITY, HELLO or BYE."""
        keys = self._keys
        if keys and self.state == OPEN and keys.sent == _COUNTERS_MAX:
            self._greet(now)
        due = self._due
        size = 16
        buf[1] = VERSION
        buf[2] = self._tag
        buf[3] = self._heard_tag
        buf[4:8] = self._me
        buf[8:12] = self._heard
        if due == _DUE_BYE:
            buf[0] = _BYE
            buf[12] = self.reason
            buf[13:16] = bytes(3)
            if keys and keys.proven:
                buf[16:24] = keys.prove(buf, self._identity, self._largest)
                size = 24
        elif due == _DUE_HELLO:
            met = self._peer != _NOBODY
            known = met and self._heard == self._peer
            expected = (self._rcv - self._rx_base) & _OFFSET if known else 0
            renewed = self._renewed or (met and not known)
            kind = _KEYED if keys else _HELLO
            buf[0] = kind | (_READY if self.state == OPEN else 0) | (_RENEWED if renewed else 0)
            buf[12:14] = self._terms
            struct.pack_into("<H", buf, 14, expected)
            if keys:
                buf[16:32] = keys.random
                # Where nobody was heard there is nothing to prove: the peer's random is not known.
                heard = self._heard != _NOBODY
                buf[32:40] = keys.prove(buf, self._identity, self._largest) if heard else bytes(8)
                size = 40
            self._hello_at = now
        else:
            buf[0] = _IDENTITY
            buf[3] = self._largest
            buf[8:16] = self._identity
        size = self._seal(buf, size, 0)
        self._due = _DUE_HELLO if buf[0] == _IDENTITY else _NOTHING
        return size

    def _seal(self, buf, size, start):
        if start is None:
            return self._seal_keyed(buf, size)
        struct.pack_into("<I", buf, size, crc32(memoryview(buf)[:size], start))
        self._count[_PACKETS_SENT] += 1
        return size + 4

    def _seal_keyed(self, buf, size):
        keys = self._keys
        if keys.sent == _COUNTERS_MAX:
            return 0  # never: new keys were due before. A counter would come twice
        if keys.sent == _COUNTERS_MAX - 1:
            # No counter is used twice under a key: another one follows, also where there is no memory now.
            self._due = _DUE_GREETING
        size = keys.seal(buf, size)
        self._count[_PACKETS_SENT] += 1
        return size

    def _rewind(self):
        """Go back to the first byte not acknowledged."""
        self._nxt = self._una
        self._filling = self._gap_again = False
        self._flight = 0
        self._grown = 0
        self._timing = False

    def _fill(self, now, refills):
        """Send the gap again, which has been done `refills` times before."""
        self._count[_GAPS_RESENT] += 1
        self._rewind()
        self._filling = True
        self._refills = min(refills, _REFILLS_MAX)
        self._filled_at = now

    # -- receiving ----------------------------------------------------------------------------------------

    def _take(self, packet, now):
        try:
            self._decode(packet, now)
        except MemoryError:
            self._count[_DROPPED] += 1  # nothing was taken of it: it counts as lost on the way

    def _decode(self, packet, now):
        count = self._count
        count[_PACKETS_RECEIVED] += 1
        size = len(packet)
        if not _OVERHEAD <= size <= _MAX_PACKET:
            count[_CORRUPT] += 1
            return
        flags = packet[0]
        if flags & _HELLO:
            if crc32(packet) == _CRC_RESIDUE:
                self._take_greeting(packet, now)
            else:
                count[_CORRUPT] += 1
            return
        if self.state != OPEN:
            count[_EARLY] += 1
            return
        start = self._crc_in
        if start is None:
            packet = self._unseal(packet, now)
            if packet is None:
                return
            size = len(packet)
        elif crc32(packet, start) != _CRC_RESIDUE:
            count[_CORRUPT] += 1
            self._answer(now)  # it may be the peer's that takes this side, or itself, for another one
            return
        if flags & ~_ASK and not self._knows(flags & ~_ASK):
            count[_MALFORMED] += 1
            return
        if packet[1] != self._tag:
            count[_STALE] += 1
            self._answer(now)
            return
        self._flags |= PULL
        _, _, offset, ack, credit = struct.unpack_from("<BBHHH", packet, 0)
        if self._take_ack((ack + self._tx_base) & _OFFSET, credit, flags, now):
            return
        size -= _OVERHEAD
        if size:
            self._take_stream(packet, (offset + self._rx_base - self._rcv) & _OFFSET, size, now)
        elif flags & _ASK:
            self._commit_due = self._commits
        if flags & _ASK:
            if self._ack_delay() > _ACK_MS:
                self._owe_ack(now)
            else:
                self._ack_now = True

    def _unseal(self, packet, now):
        """The packet as without a key; None: it is none of this handshake, or was taken before."""
        keys = self._keys
        failed = _CORRUPT
        if len(packet) >= _KEYED_OVERHEAD:
            if packet[1] == self._tag:
                counter = packet[8] | packet[9] << 8
                if counter < keys.next:
                    self._count[_REPLAYED] += 1
                    return None
                data = keys.open(packet)
                if data is not None:
                    keys.next = counter + 1
                    return bytes(packet[:_HEADER]) + data + _NOBODY
            else:
                failed = _STALE
        self._count[failed] += 1
        self._answer(now)
        return None

    def _knows(self, flags):
        """Whether a data packet may have these flags besides ASK."""
        return flags in (_GAP, _OVERRUN) or (flags == _COMMIT and self._peer_commits)

    def _take_ack(self, pos, credit, flags, now):
        """Returns whether a handshake has begun, because too many packets were impossible."""
        if (pos - self._una) & _OFFSET > (self._high - self._una) & _OFFSET:
            return self._doubt(now)
        if flags & ~_ASK:
            return self._take_report(pos, credit, flags, now)
        if credit > self._peer_ring:
            return self._doubt(now)
        self._doubts = 0
        self._acknowledge(pos, now)
        if credit > (self._edge - pos) & _OFFSET:
            self._edge = (pos + credit) & _OFFSET
            self._probed = 0
        return False

    def _take_report(self, pos, value, flags, now):
        """As _take_ack(), of a packet with GAP, OVERRUN or COMMIT."""
        if flags & _GAP:
            possible = 0 < value < (self._high - pos) & _OFFSET
        elif flags & _COMMIT:
            possible = value <= (pos - self._peer_committed) & _OFFSET
        else:
            possible = value <= self._peer_ring
        if not possible:
            return self._doubt(now)
        self._doubts = 0
        self._acknowledge(pos, now)
        if flags & _COMMIT:
            committed = (pos - value) & _OFFSET
            if committed != self._peer_committed:
                self._peer_committed = committed
                self._timer_at = now
                self._probed = 0
                self._free(committed)
            return False
        end = (pos + value) & _OFFSET
        if value > (self._edge - pos) & _OFFSET:  # the peer has room for what it has kept behind a gap
            self._edge = end
            self._probed = 0
        ahead = (self._nxt - pos) & _OFFSET
        if flags & _OVERRUN:
            if value < ahead and _elapsed(now, self._filled_at) >= self._patience:
                self._rewind()
                self._filled_at = now
            self._edge = end
            if not value:
                self._gap_again = False  # there is no room for it
        elif self._gap_end < 0:
            self._gap_end = end
            self._limit = self._threshold = max(self._limit >> 1, min(_FLIGHT_LOSSY, self._limit))
            self._fill(now, 0)
        else:
            if self._filling and value <= ahead:
                self._filling = False  # past another end than was known
                self._nxt = self._high
            self._gap_end = end
            self._gap_again = True  # perhaps by packets that were behind it already
        return False

    def _acknowledge(self, pos, now):
        gained = (pos - self._una) & _OFFSET
        if not gained:
            return
        filled = self._gap_end >= 0 and (pos - self._gap_end) & _OFFSET < _BEHIND
        if filled and self._filling:
            self._nxt = self._high
        elif (self._nxt - self._una) & _OFFSET < gained:
            self._nxt = pos  # the peer had more than was sent again
        if filled:
            self._gap_end = -1
            self._filling = False
        self._gap_again = False
        self._filled_at = now
        if (self._edge - self._una) & _OFFSET < gained:
            self._edge = pos  # an overrun was told that was none
        self._una = pos
        if self._srtt8 and _elapsed(now, self._timer_at) >= self._srtt8 >> 3:
            self._backoff = 0  # what was sent again has been under way for a round trip: it was needed
        self._timer_at = now
        while self._flight and (pos - self._ends[self._ends_first]) & _OFFSET < _BEHIND:
            self._ends_first = (self._ends_first + 1) % _FLIGHT_MAX
            self._flight -= 1
            self._grown += 1
        if self._limit < self._threshold:
            self._limit = min(self._limit + self._grown, self._threshold)
            self._grown = 0
        elif self._limit < self._flight_max and self._grown >= self._limit:
            self._limit += 1
            self._grown = 0
        if self._timing and (pos - self._timed_pos) & _OFFSET < _BEHIND:
            self._timing = False
            self._measure(min(_elapsed(now, self._timed_at), _RTO_MAX_MS))
        if not self._peer_commits:
            self._free(pos)

    def _free(self, pos):
        """Free the room of all messages that end at or before `pos`."""
        ring = self._tx
        mask = self._tx_mask
        tail = self._tail
        while tail != pos:
            size = ring[(tail + 1) & mask]
            total = size + 2 if size < 0x80 else self._record_total(ring, tail)
            if (pos - tail) & _OFFSET < total:
                break
            if ring[tail & mask] != _END:
                self._count[_MESSAGES_ACKNOWLEDGED] += 1
            tail = (tail + total) & _OFFSET
        if tail != self._tail:
            self._tail = tail
            self._flags |= WRITABLE

    def _measure(self, rtt):
        """One round trip in ms: RFC 6298. Where packets wait in a queue, fewer may be in flight."""
        self._backoff = 0
        if self._limit > _FLIGHT_FIRST and self._limit * rtt > _QUEUE_MS:
            self._limit = self._threshold = max(_FLIGHT_FIRST, _QUEUE_MS // rtt)
            self._grown = 0
        if self._srtt8:
            delta = rtt - (self._srtt8 >> 3)
            self._srtt8 += delta
            self._var4 += abs(delta) - (self._var4 >> 2)
        else:
            self._srtt8 = rtt << 3
            self._var4 = rtt << 1
        self._patience = max((self._srtt8 >> 3) + (self._var4 >> 1), _PATIENCE_MIN_MS)
        self._rto = min(max((self._srtt8 >> 3) + self._var4 + _ACK_MS, _RTO_MIN_MS), _RTO_MAX_MS)

    def _take_stream(self, packet, ahead, size, now):
        """Stream bytes that begin `ahead` of the next one expected (modulo 2^16)."""
        count = self._count
        skip = 0
        if ahead >= _BEHIND:
            skip = 0x10000 - ahead
            if skip >= size:
                count[_DUPLICATES] += 1
                self._ack_now = True  # its acknowledgement may have been lost
                return
            size -= skip
            ahead = 0
        ring = self._rx
        mask = self._rx_mask
        room = mask + 1 - ((self._rcv - self._read) & _OFFSET)
        if ahead + size > room:
            count[_OVERRUNS] += 1
            self._ack_now = True
            self._also |= _OVERRUN
            if ahead or not room:
                return
            size = room
        pos = (self._rcv + ahead) & _OFFSET
        if ahead:
            count[_GAPS] += 1
            if self._gap:
                self._owe_ack(now)
                if pos != self._kept_end:
                    return  # it would leave a second gap
        start = pos & mask
        fits = mask + 1 - start
        packet = memoryview(packet)
        begin = _HEADER + skip
        if size <= fits:
            view = ring[start : start + size]  # see _queue()
            view[:] = packet[begin : begin + size]
        else:
            ring[start:] = packet[begin : begin + fits]
            ring[: size - fits] = packet[begin + fits : begin + size]
        end = (pos + size) & _OFFSET
        if ahead:
            if not self._gap:
                self._gap = self._ack_now = True
                self._kept = pos
            self._kept_end = end
            return
        if self._gap and (end - self._kept) & _OFFSET < _BEHIND:
            self._gap = False
            self._ack_now = True
            if (self._kept_end - end) & _OFFSET < _BEHIND:
                end = self._kept_end
        self._rcv = end
        self._owe_ack(now)
        self._scan()

    def _owe_ack(self, now):
        if not self._ack_owed:
            self._ack_owed = True
            self._ack_at = now

    def _scan(self):
        """Advance `whole` over the records that have come whole."""
        ring = self._rx
        mask = self._rx_mask
        whole = self._whole
        need = self._need
        have = (self._rcv - whole) & _OFFSET
        flags = 0
        while have >= need:
            first = ring[whole & mask]
            size = ring[(whole + 1) & mask]
            total = size + 2
            known = first < _END or _NEWEST <= first < _TYPE_3_NEWEST or (first == _END and not size)
            if size >= 0x80:
                if have < 3:
                    need = 3
                    break
                size = size & 0x7F | ring[(whole + 2) & mask] << 7
                total = size + 3
                if size >= 0x4000:
                    if have < 4:
                        need = 4
                        break
                    size = size & 0x3FFF | ring[(whole + 3) & mask] << 14
                    total = size + 4
                known = known and total == _record_size(size) and total <= mask + 1
            if not known:
                self._close(NONSENSE)
                self._broken = True
                self._count[_MALFORMED] += 1
                flags |= BROKEN
                break
            need = total
            if have < total:
                break
            need = 2
            have -= total
            whole = (whole + total) & _OFFSET
            flags |= PEER_ENDED if first == _END else READABLE
        self._flags |= flags
        self._whole = whole
        self._need = need

    def _credit_due(self):
        """Whether the peer should hear of room that the reader has made.

        It is told when it is short of room and there is plenty, or when it has none and the reader waits.
        """
        if self._gap:
            return False  # its packets say how long the gap is instead
        capacity = self._rx_mask + 1
        gained = (self._read + capacity - self._edge_sent) & _OFFSET
        credit = (self._edge_sent - self._rcv) & _OFFSET
        if gained >= capacity >> 2:
            return credit < capacity >> 1
        return gained and not credit and self._read == self._whole

    def _next_size(self):
        """Payload bytes of the next message, or -1."""
        read = self._read
        if read == self._whole or self.ended:
            return -1
        ring = self._rx
        mask = self._rx_mask
        if ring[read & mask] == _END:
            self.ended = True
            if self._commits and read == self._committed:
                self.commit()  # nothing is to be read of it
            return -1
        size = ring[(read + 1) & mask]
        return size if size < 0x80 else self._payload_size(ring, read)

    def _release(self, size):
        """Free the room of the next message, whose payload has `size` bytes. Returns its first byte."""
        read = self._read
        first = self._rx[read & self._rx_mask]
        self._read = (read + size + 2 if size < 0x80 else read + _record_size(size)) & _OFFSET
        self._count[_MESSAGES_RECEIVED] += 1
        return first

    # -- records ------------------------------------------------------------------------------------------

    def _payload_size(self, ring, pos):
        mask = len(ring) - 1
        size = ring[(pos + 1) & mask]
        if size >= 0x80:
            size = size & 0x7F | ring[(pos + 2) & mask] << 7
            if size >= 0x4000:
                size = size & 0x3FFF | ring[(pos + 3) & mask] << 14
        return size

    def _record_total(self, ring, pos):
        return _record_size(self._payload_size(ring, pos))

    # -- packets that come during another call ------------------------------------------------------------

    def _hold(self, packet, now):
        size = len(packet)
        if size > _MAX_PACKET:
            self._count[_CORRUPT] += 1
        elif (self._held_in - self._held_out) & _OFFSET == _HELD_MAX:
            self._count[_DROPPED] += 1
        else:
            slot = self._held_in % _HELD_MAX
            view = self._held_packets[slot * _MAX_PACKET : slot * _MAX_PACKET + size]
            view[:] = packet
            self._held_sizes[slot] = size
            self._held_times[slot] = now
            self._held_in = (self._held_in + 1) & _OFFSET
            self._flags |= PULL

    def _done(self):
        """The end of a call: take the packets that came meanwhile."""
        self._busy = False
        while self._held_in != self._held_out:
            self._busy = True
            while self._held_in != self._held_out:
                slot = self._held_out % _HELD_MAX
                start = slot * _MAX_PACKET
                self._take(self._held_packets[start : start + self._held_sizes[slot]], self._held_times[slot])
                self._held_out = (self._held_out + 1) & _OFFSET
            self._busy = False


def _record_size(size):
    """Bytes of a record with `size` bytes of payload."""
    return size + (2 if size < 0x80 else 3 if size < 0x4000 else 4)


def _elapsed(now, then):
    """ms from `then` to `now`, modulo 2^30; 0 when `now` was read before `then`."""
    elapsed = (now - then) & _TICKS
    return elapsed if elapsed < _PAST else 0


def _bits(size):
    bits = 0
    while size > 1:
        size >>= 1
        bits += 1
    return bits
