"""What can go wrong with an emulated board."""

from ..boards import BoardError


class EmulatorError(BoardError):
    """The emulated board cannot start or has stopped.  The text says why and what to do."""
