"""Which engine does the work: the native module where it imports, else the one in Python."""


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
