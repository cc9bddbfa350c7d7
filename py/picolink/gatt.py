"""The GATT service of picolink: docs/protocol.md, "GATT"."""

import bluetooth

SERVICE = bluetooth.UUID("7a9c0000-5f2d-4b8e-9c3a-1d6e8f402b51")
NOTIFY = bluetooth.UUID("7a9c0001-5f2d-4b8e-9c3a-1d6e8f402b51")  # peripheral to central
WRITE = bluetooth.UUID("7a9c0002-5f2d-4b8e-9c3a-1d6e8f402b51")  # central to peripheral

MTU = 247  # ATT MTU that both sides offer: 244-byte values, the most that one 251-octet PDU holds
