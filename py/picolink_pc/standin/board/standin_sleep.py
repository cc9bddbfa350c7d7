# Simulator code for virtual boards, never installed on a board: machine.deepsleep().

_ASLEEP = 77  # boards.py of the PC takes this exit code and the line for it, and switches the board on again


def begin(time_ms):
    """Says that the board sleeps. Returns the exit code."""
    if time_ms is None:
        print("(deep sleep)")
        return 0
    print("(deep sleep for %d ms)" % time_ms)
    return _ASLEEP
