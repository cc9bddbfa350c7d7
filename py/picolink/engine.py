"""Which engine does the work, and which packs objects: the native module where it imports, else Python."""


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
    """What a link looks at for each message: a byte of each. Who uses them knows their places.

    sends, reads: whether a message may go to the engine, and come from it, without a question.
    idle: nothing was left to do in the last turn of the policy: who queues something wakes the next one.
    burst: messages that may be read before others get a turn.   channel: of the message that was read last.
    """
    return bytearray(5)


def native_path():
    """The class of what does in one call what most messages need, or None: CPython has none.

    Path(engine, path, anext, have_read, wake, sent, send, taken, send_nowait, end, arguments). It has
    __anext__(), send(), which returns `sent`, and append(), send_nowait(), which returns `taken`; all else
    they hand on to those given. And it iterates over the messages that are here, and then calls have_read().
    wake() is called as Policy.wake.set() is.   end: a StopIteration; its arguments are a tuple of one.
    """
    try:
        from _picolink import Path
    except (ImportError, ValueError):
        return None
    return Path
