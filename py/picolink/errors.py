"""What a link can raise besides TypeError and ValueError."""


class LinkClosedError(Exception):
    """The link is closed: by this side, or by the peer."""
