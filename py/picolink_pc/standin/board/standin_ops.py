# Simulator code for virtual boards, never installed on a board: what board and PC say to each other.
#
# One message per packet of a unix SEQPACKET socket, first byte: what it is, numbers little-endian (struct
# codes below), "rest" is everything up to the end of the packet.  CPython imports this file too.

# Board to PC.  The first three are answered by REPLY.
ACTIVATE = 1  # answer: B address type, 6s address
DEACTIVATE = 2  # answer: nothing
REGISTER_SERVICES = 3  # per attribute: B kind, H flags, B UUID length, UUID; answer: H handle for each value
ADVERTISE = 4  # I interval in us, B connectable, B length of the advertising data, data, rest: scan response
STOP_ADVERTISING = 5
SCAN = 6  # I duration in ms (0: until STOP_SCAN), I interval in us, I window in us, B active
STOP_SCAN = 7
CONNECT = 8  # B address type, 6s address, H shortest interval, H longest (1.25 ms), H supervision (10 ms)
CANCEL_CONNECT = 9
DISCONNECT = 10  # H connection
EXCHANGE_MTU = 11  # H connection
DISCOVER_SERVICES = 12  # H connection, rest: UUID or nothing
DISCOVER_CHARACTERISTICS = 13  # H connection, H first handle, H last handle, rest: UUID or nothing
DISCOVER_DESCRIPTORS = 14  # H connection, H first handle, H last handle
WRITE_REQUEST = 15  # H connection, H handle, rest: value
WRITE_COMMAND = 16  # H connection, H handle, rest: value
NOTIFY = 17  # H connection, H handle, rest: value
PREFERRED_MTU = 18  # H MTU

# Kinds of attributes in REGISTER_SERVICES.
SERVICE = 0
CHARACTERISTIC = 1
DESCRIPTOR = 2

# PC to board.
REPLY = 64
WRITE_SENT = 65  # H connection: the controller has taken one WRITE_COMMAND

CANCELLED = 255

# PC to board: the events of bluetooth.BLE.irq by MicroPython's numbers, fields as listed.
CENTRAL_CONNECT = 1  # H connection, B address type (CANCELLED: there is no connection), 6s address
CENTRAL_DISCONNECT = 2  # H connection, B address type, 6s address
GATTS_WRITE = 3  # H connection, H handle, rest: value
SCAN_RESULT = 5  # B address type, B advertising type, b RSSI, 6s address, rest: data
SCAN_DONE = 6
PERIPHERAL_CONNECT = 7  # as CENTRAL_CONNECT
PERIPHERAL_DISCONNECT = 8  # as CENTRAL_DISCONNECT
GATTC_SERVICE_RESULT = 9  # H connection, H first handle, H last handle, rest: UUID
GATTC_SERVICE_DONE = 10  # H connection, H status
GATTC_CHARACTERISTIC_RESULT = 11  # H connection, H last handle, H value handle, B properties, rest: UUID
GATTC_CHARACTERISTIC_DONE = 12  # H connection, H status
GATTC_DESCRIPTOR_RESULT = 13  # H connection, H handle, rest: UUID
GATTC_DESCRIPTOR_DONE = 14  # H connection, H status
GATTC_WRITE_DONE = 17  # H connection, H handle, H status
GATTC_NOTIFY = 18  # H connection, H handle, rest: value
MTU_EXCHANGED = 21  # H connection, H MTU
CONNECTION_UPDATE = 27  # H connection, H interval, H latency, H timeout, H status
