"""Radios: how the packets of a link travel.

    picolink.radio.aioble    Bluetooth of a board, through aioble: a board's default
    picolink.radio.bleak     Bluetooth of a PC, through bleak: a PC's default; it can only connect
    picolink.radio.memory    no radio at all, but links of one program hear each other: for tests

A radio has advertise(name, services), connect(name), and, for boards that do both in turn (picolink.meeting),
meet(name, services). Each gives a role: how a connection comes, for one link. A link takes its role as it is,
so a new radio needs only this:

name        str
identity    8 bytes that name this board, the same after each restart
TROUBLES    tuple of exceptions that establish() raises when it has to be tried again
handle      int: of the connection; negative when there is none, or no longer one
folder      str, where a partner is remembered, with a separator at its end; "": where the program runs
irq_errors  int: exceptions that were kept from the caller of this radio
rssi        int, dBm: how strong the other board was when this one found it last; None: not known
serve(policy)   called once, before all else, by the link: with its picolink.policy.Policy, whose `transmit`
            this sets
claim()     coroutine: the link opens. Raises RuntimeError when the radio can serve no other link now
release()   it has closed; returns whether it was the radio's until now
establish() coroutine: connect. Calls policy.limit() for each step, policy.adopt() when the boards are
            connected, and policy.call() when the other one takes packets, which may come later
hang_up()   coroutine: end the connection, also one that has just come. Returns whether it is over
restart()   the radio's software is stuck: start it again
tend()      called at least every TEND_MS (int) while the link is open

Packets and signs of life that come are for policy.feed(), which may call `transmit`; after a drop it sets
policy.wake.
"""

import sys

_radio = None


def use(radio):
    """Links that are made from now on use this radio unless they name one; None: this computer's own."""
    global _radio
    _radio = radio


def default():
    """The radio of a link that names none: the Bluetooth of this board or PC."""
    if _radio is not None:
        return _radio
    if sys.implementation.name != "micropython":
        from . import bleak

        return bleak
    from . import aioble

    return aioble
