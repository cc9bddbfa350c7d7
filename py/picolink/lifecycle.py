"""The states of a link and of its connection, and what leads from one to another.

docs/design.md draws them: build/lifecycle.py makes the diagrams from the table.
"""

from .runtime import const

# A link. OPEN is 0 because it is asked for with each message, and `if life` is the cheapest question.
OPEN = const(0)  # both boards may send, connected or on the way to be connected again
NEW = const(1)  # made, not opened
OPENING = const(2)  # looks for the other board, which it has never met
ENDING = const(3)  # this side closes, and END has no room yet behind what is queued
ENDED = const(4)  # END is queued: the peer is to have everything
LEAVING = const(5)  # this side's program has failed: what is queued goes out, then why it leaves
PEER_ENDED = const(6)  # the peer has closed: nothing more goes there, what has come can be read
BOTH_ENDED = const(7)  # both have: this side stays a little, to answer
CLOSED = const(8)
FAILED = const(9)

# Its connection. Packets are taken from GREETING on.
APART = const(16)  # there is none, and for the moment none is tried
HANGING_UP = const(17)
SEEKING = const(18)  # the role looks for the other board, or waits for it
SETTING_UP = const(19)  # connected: the role finds out what it needs
WAITING = const(20)  # for the other board to speak first
READY = const(21)  # the other board takes packets
GREETING = const(22)  # the handshake
CONNECTED = const(23)

# What happens to a link.
OPENED = const(32)  # open() was called
MET = const(33)  # a handshake is done
CLOSE = const(34)  # close() was called
END_QUEUED = const(35)
END_CAME = const(36)
SHUT = const(37)  # nothing goes or comes any more
FAIL = const(38)
LEAVE = const(39)  # the program has failed, or was interrupted

# What happens to its connection.
SEEK = const(48)
ADOPT = const(49)  # Bluetooth has connected the boards
BEGIN = const(50)  # the role is done
CALLED = const(51)  # the other board takes packets: it has written, or this one has subscribed
START = const(52)  # the engine greets
GREETED = const(53)
HANG_UP = const(54)
GONE = const(55)

ANY = const(-1)  # no state is below 0

# Before, event, after; the first row that fits counts.
TRANSITIONS = (
    (NEW, OPENED, OPENING),
    (NEW, CLOSE, CLOSED),
    (NEW, LEAVE, CLOSED),
    (OPENING, MET, OPEN),
    (OPENING, CLOSE, CLOSED),
    (OPENING, LEAVE, CLOSED),
    (OPEN, CLOSE, ENDING),
    (OPEN, LEAVE, LEAVING),
    (OPEN, END_CAME, PEER_ENDED),
    (ENDING, END_QUEUED, ENDED),
    (ENDING, END_CAME, PEER_ENDED),
    (ENDED, END_CAME, BOTH_ENDED),
    (LEAVING, END_CAME, PEER_ENDED),
    (CLOSED, FAIL, CLOSED),
    (FAILED, SHUT, FAILED),
    (ANY, SHUT, CLOSED),
    (ANY, FAIL, FAILED),
    (APART, SEEK, SEEKING),
    (SEEKING, ADOPT, SETTING_UP),
    (SETTING_UP, BEGIN, WAITING),
    (SETTING_UP, CALLED, READY),
    (WAITING, CALLED, READY),
    (READY, START, GREETING),
    (GREETING, GREETED, CONNECTED),
    (HANGING_UP, GONE, APART),
    (APART, HANG_UP, APART),
    (ANY, HANG_UP, HANGING_UP),
)


def after(state, event):
    """The state that an event leads to; the same one where no row fits: there it changes nothing.

    Allocates nothing.
    """
    for before, what, then in TRANSITIONS:
        if what == event and (before == state or before < 0):
            return then
    return state
