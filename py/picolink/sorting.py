"""Channels of a link whose messages do not go to who reads the link: newest values, and files."""


class Sorter:
    """Stands where a link reads from its engine, and hands over what comes on channels that are taken.

    takers: {channel: taker}. A taker has _ready(), whether it can take a message now, and _take(kind, data);
        while it cannot, all that comes behind waits, too.
    All else is the engine's.
    """

    def __init__(self, link):
        self.takers = {}
        self._engine = link._engine
        self._link = link
        self._commits = link._policy.commits
        self._handed = False  # has the program got messages that it has not committed?

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def readable(self):
        """As the engine's, of the next message that nobody takes; all before it have been handed over."""
        engine = self._engine
        while first := engine.readable():
            taker = self.takers.get(first & 15)
            if taker is None:
                return first
            if not taker._ready():
                return 0
            try:
                data = engine.recv()[1]
            except ValueError:
                continue  # not what it says it is: no picolink sends such a one
            if self._commits and not self._handed:
                engine.commit()  # else nothing comes any more when the ring is full
                self._link._wake.set()
            taker._take(first >> 4 & 7, data)
        return 0

    def recv(self):
        """As the engine's. What is behind the message is handed over, too."""
        if not self.readable():
            return None
        message = self._engine.recv()
        self._handed = True
        try:
            self.readable()
        except MemoryError:
            self._link._tell_readers()  # who waits for it looks again; this message is not lost
        return message

    def commit(self):
        """As the engine's."""
        self._handed = False
        self._engine.commit()


def taker(link, channel, kind):
    """Who takes this channel of a link, or None.

    Raises ValueError when it is not of the class `kind`: a channel is for one thing only.
    """
    if not isinstance(link._engine, Sorter):
        link._read_through(Sorter(link))
    found = link._engine.takers.get(channel)
    if found is not None and not isinstance(found, kind):
        raise ValueError(
            "channel %d of this link is used for something else: a %s" % (channel, type(found).__name__)
        )
    return found
