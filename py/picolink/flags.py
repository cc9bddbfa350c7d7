"""What an engine reports through feed() and take_flags(), and the states it can be in."""

READABLE = 0x01  # a whole message has come
WRITABLE = 0x02  # room was freed in the transmit ring
PULL = 0x04  # ask pull_into() and wait() again
OPENED = 0x08  # the handshake is done
PEER_RESTARTED = 0x10  # the peer has a new session: unacknowledged messages go to it again
FORGOTTEN = 0x20  # the peer knew an earlier session of this side: this side is the one that restarted
TOO_LARGE = 0x40  # queued messages that the peer's ring can never hold were removed
REFUSED = 0x80  # no common protocol version, or a HELLO that makes no sense
BROKEN = 0x100  # the peer's stream holds something that is not a record
PEER_ENDED = 0x200  # the peer has closed: nothing comes after what is already here

IDLE = 0
GREETING = 1
OPEN = 2
REFUSING = 3
POISONED = 4
