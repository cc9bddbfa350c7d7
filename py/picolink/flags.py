"""What an engine reports through feed() and take_flags(), its states, reasons and kinds: docs/protocol.md."""

READABLE = 0x01  # a whole message has come
WRITABLE = 0x02  # room was freed in the transmit ring
PULL = 0x04  # ask pull_into() and wait() again
OPENED = 0x08  # the handshake is done
PEER_RESTARTED = 0x10  # the peer has a new session: unacknowledged messages go to it again
FORGOTTEN = 0x20  # the peer knew an earlier session of this side: this side is the one that restarted
TOO_LARGE = 0x40  # queued messages that the peer's ring can never hold were removed
REFUSED = 0x80  # this side has refused the peer, with a reason
BROKEN = 0x100  # the peer's stream holds something that is not a record
PEER_ENDED = 0x200  # the peer has closed: nothing comes after what is already here
CONTRADICTED = 0x400  # what the peer says cannot be: this side has begun a new session
BYE = 0x800  # the peer has ended the connection, with a reason

IDLE = 0
GREETING = 1
OPEN = 2
CLOSED = 3  # until start(): this connection is over

# Reasons why a side ends a connection.
CLOSING = 1  # its application has closed the link
PROGRAM_FAILED = 2  # its program has failed, or was interrupted
PARTNER_KNOWN = 3  # it serves another partner
OTHER_VERSION = 4  # the peer speaks another version of the protocol
KEY_WANTED = 5  # it has a key, and the peer has none
KEY_WRONG = 6  # the peer has another key
NONSENSE = 7  # the peer's stream makes no sense
PACKETS_SMALL = 8  # it has a key, and the packets of this connection are too small for it

# Kinds of messages.
BYTES = 0
TEXT = 1
OBJECT = 2
NEWEST = 4  # added to one of the others: only the newest value counts

# Of an engine, in the order of native/picolink.h; the last two are levels.
COUNTERS = (
    "messages_sent",
    "messages_received",
    "messages_acknowledged",
    "packets_sent",
    "packets_received",
    "acks_alone",
    "retransmitted",
    "timeouts",
    "gaps_resent",
    "probes",
    "gaps",
    "duplicates",
    "corrupt",
    "malformed",
    "stale",
    "early",
    "overruns",
    "strangers",
    "contradictions",
    "dropped",
    "opened",
    "peer_restarts",
    "resent",
    "too_large",
    "replayed",
    "unproven",
    "rtt_ms",
    "flight_limit",
)


def stats(values):
    """The stats() of an engine, a dict; the native engine asks for it, too.   values: as many as COUNTERS."""
    return {COUNTERS[i]: values[i] for i in range(len(COUNTERS))}
