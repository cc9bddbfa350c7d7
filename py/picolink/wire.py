"""What goes over the air, for every module that has to know it: docs/protocol.md, "GATT" and "Packets"."""

# UUIDs as text: each radio makes its own kind of them.
SERVICE = "7a9c0000-5f2d-4b8e-9c3a-1d6e8f402b51"
NOTIFY = "7a9c0001-5f2d-4b8e-9c3a-1d6e8f402b51"  # characteristic: packets from peripheral to central
WRITE = "7a9c0002-5f2d-4b8e-9c3a-1d6e8f402b51"  # characteristic: packets from central to peripheral

MTU = 247  # ATT MTU that both sides offer
MTU_LEAST = 23
MTU_MOST = 517
PACKET = 244  # bytes: the largest value, and so the largest packet; one PDU of 251 octets holds it
HEADER = 4  # bytes: the most that the header of a record takes
NAME = 28  # bytes: the longest name; a scan response of 31 has no room for more

VERSION = "0.1.0"  # of picolink: three numbers

# Manufacturer's data in the advertisement: part of the identity, and the version.
COMPANY = 0xFFFF  # no company's
ABOUT_NAME = 17  # bytes: a longer name leaves no room for it


def about(identity):
    """Those 7 bytes."""
    return identity[2:6] + bytes(map(int, VERSION.split(".")))


def checked_name(name):
    """`name`, if it can be advertised: 1 to 28 bytes of UTF-8. Raises TypeError or ValueError otherwise."""
    if not isinstance(name, str):
        raise TypeError("the name must be a str, not %r" % (name,))
    size = len(name.encode())
    if not 1 <= size <= NAME:
        raise ValueError("the name must have 1 to %d bytes of UTF-8, not %d: %r" % (NAME, size, name))
    return name
