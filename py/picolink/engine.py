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
