"""Which engine does the work, and which packs objects: the native module where it imports, else Python."""

from array import array


def load(kind=None):
    """The Engine class and the name of its kind.

    kind: "native", "python", or None for the native one where there is one.
    Raises ValueError for another kind; ImportError or ValueError when "native" is asked for and cannot be
    imported.
    """
    if kind not in (None, "native", "python"):
        raise ValueError('engine must be "native", "python" or None, not %r' % (kind,))
    if kind != "python":
        try:
            from _picolink import Engine

            return Engine, "native"
        except (ImportError, ValueError):  # there is none, or it is for another processor or MicroPython
            if kind:
                raise
    from .pyengine import Engine

    return Engine, "python"


def codec():
    """pack() and unpack() of objects: see picolink.objects. CPython has no native ones."""
    try:
        from _picolink import pack, unpack
    except (ImportError, ValueError):
        from .objects import pack, unpack
    return pack, unpack


def new_path():
    """What links, policies and a native Path share, an array of ints. Who uses them knows their places.

    sends, reads, feeds: may messages go to the engine, come from it, and packets go to it, at once?
    idle: nothing was left to do in the last turn of the policy: who queues something wakes the next one.
    burst: messages that may be read before others get a turn.   channel: of the message that was read last.
    heard_at: when a packet came last.   works: is a turn under way?   flags: the engine's, for the next turn.
    progress_at: the peer had everything, or acknowledged a message.
    most: bytes that may be pending when somebody who waits is woken; below 0: nobody waits.
    size: of the packet that waits for the host stack.   sent_at: when one went there last.
    passed: packets that went there since the last turn.   due_at: when the next turn comes, woken or not.

    Its items are as long as an int of MicroPython, which may be a time.
    """
    return array("l", [0] * 15)


def native_path():
    """The class of what does in one call what most messages need, or None: CPython has none.

    Path(engine, path, anext, have_read, wake, sent, send, taken, send_nowait, feed, readable, hand_over,
    packet). Raises TypeError for an engine, a path or a packet that is none.
    It has __anext__(), send(), which returns `sent`, append(), that is send_nowait(), which returns `taken`,
    and feed(); all else they hand on to those given. And it iterates over the messages that are here, and
    then calls have_read(). wake() and readable() are called as set() of Policy's are.
    hand_over: gives the host stack a packet, and returns whether it took it.   packet: the memory for it.
    """
    try:
        from _picolink import Path
    except (ImportError, ValueError):
        return None
    return Path
