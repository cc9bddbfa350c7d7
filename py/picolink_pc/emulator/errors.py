"""What can go wrong with an emulated board."""


class EmulatorError(Exception):
    """The emulated board cannot start or has stopped.  The text says why and what to do."""
