"""That a board has one connection, and so one link at a time."""

from ..runtime import const, sleep_ms

_LIVES_MS = const(300)  # some calls of tend()


class Board:
    """served: the role (picolink.radio) whose link is open, or None."""

    def __init__(self):
        self.served = None

    async def claim(self, role):
        """Serve this role. Raises RuntimeError while a link is open that still runs."""
        while self.served is not None:
            other = self.served
            ticks = other.ticks
            await sleep_ms(_LIVES_MS)
            if other.ticks != ticks:  # else Ctrl-C has ended its tasks, or asyncio.new_event_loop()
                raise RuntimeError(
                    "a link is open already (%r): a board has one connection. Close it; after Ctrl-C "
                    "asyncio.new_event_loop() stops what still runs" % other.name
                )
            await other.hang_up()
            self.release(other)
        self.served = role

    def release(self, role):
        """Serve this role no more. Returns whether it was served."""
        if self.served is not role:
            return False
        self.served = None
        return True
