"""What a link can raise besides TypeError and ValueError."""


class LinkClosedError(Exception):
    """The link is closed: by this side, or by the peer."""


class FileError(Exception):
    """A file cannot be sent, received or fetched; the message is for a person."""
