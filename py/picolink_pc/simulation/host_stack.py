"""What a board's Bluetooth host takes and refuses: models of BTstack and NimBLE under MicroPython.

A stack takes ATT values, and hands them to the controller in order, as far as that has buffers.
"""

from collections import deque
from collections.abc import Callable
from errno import (
    EAGAIN,
    EALREADY,
    EBUSY,
    EINVAL,
    EIO,
    ENOENT,
    ENOMEM,
    ENOTCONN,
    EOPNOTSUPP,
    ETIMEDOUT,
)

from picolink_pc.radio.air import ATT_L2CAP_OCTETS

CONTROLLER_BUFFERS = 8
"""ACL buffers of 251 octets in the Pico W's controller (pico-sdk issue 1342)."""


class HostStack:
    """Takes everything, as BTstack does with notifications: what is too much waits on the heap.

    transmit: called with a value (bytes) and the time in us when it enters the controller.
    controller_buffers: packets that the controller holds until they are acknowledged.
    peak_octets: most octets of values that ever waited in the host.
    errno: of the last refusal.
    stalled: does it hand nothing to the controller?
    """

    FULL = ENOMEM  # what the call raises on a board when the stack can take no more

    def __init__(self, transmit: Callable[[bytes, int], None], controller_buffers: int = CONTROLLER_BUFFERS):
        self._transmit = transmit
        self._controller_buffers = controller_buffers
        self.waiting: deque[bytes] = deque()
        self.in_controller = 0
        self.peak_octets = 0
        self.errno = 0
        self._refusals = 0
        self._refusal_errno = 0
        self.stalled = False

    def refuse(self, errno: int, times: int) -> None:
        """Refuse the next `times` values with this error, whatever room there is."""
        self._refusal_errno, self._refusals = errno, times

    def stall(self) -> None:
        """Hand nothing more to the controller in this connection, and say nothing (btstack issue 740)."""
        self.stalled = True

    def has_room(self, size: int) -> bool:  # noqa: ARG002
        """Whether a value of `size` octets would be taken now. If not, the call raises OSError on a board."""
        return True

    def take(self, value: bytes, now_us: int) -> bool:
        """Take a value to send; False: refused, see `errno`."""
        if self._refusals:
            self._refusals -= 1
            self.errno = self._refusal_errno
            return False
        if not self.has_room(len(value)):
            self.errno = self.FULL
            return False
        self.waiting.append(value)
        self._hand_over(now_us)
        self.peak_octets = max(self.peak_octets, sum(map(len, self.waiting)))
        return True

    def completed(self, now_us: int) -> None:
        """The controller has a buffer free again."""
        self.in_controller -= 1
        self._hand_over(now_us)

    def disconnected(self) -> None:
        """Everything that was on its way is gone."""
        self.waiting.clear()
        self.in_controller = 0
        self._refusals = 0
        self.stalled = False

    def _hand_over(self, now_us: int) -> None:
        while self.waiting and self.in_controller < self._controller_buffers and not self.stalled:
            self.in_controller += 1
            self._transmit(self.waiting.popleft(), now_us)


class BtstackCentral(HostStack):
    """Writes without response on BTstack: one may wait for the controller, the next raises EALREADY."""

    FULL = EALREADY

    def has_room(self, size: int) -> bool:  # noqa: ARG002
        return not self.waiting


class Nimble(HostStack):
    """Notifications and writes on NimBLE: memory blocks until the peer has the value, then ENOMEM.

    Values above 80 octets take two of 12 blocks: real NimBLE refuses the 7th of 200 octets, the 13th of 20.
    """

    BLOCKS = 12

    def __init__(self, transmit: Callable[[bytes, int], None], controller_buffers: int = CONTROLLER_BUFFERS):
        super().__init__(transmit, controller_buffers)
        self._blocks: deque[int] = deque()

    @staticmethod
    def _needs(size: int) -> int:
        return 1 if size <= 80 else 2

    def has_room(self, size: int) -> bool:
        return sum(self._blocks) + self._needs(size) <= self.BLOCKS

    def take(self, value: bytes, now_us: int) -> bool:
        taken = super().take(value, now_us)
        if taken:
            self._blocks.append(self._needs(len(value)))
        return taken

    def completed(self, now_us: int) -> None:
        self._blocks.popleft()
        super().completed(now_us)

    def disconnected(self) -> None:
        super().disconnected()
        self._blocks.clear()


STACKS = {"btstack": (BtstackCentral, HostStack), "nimble": (Nimble, Nimble)}
"""Name: model for the central, model for the peripheral."""

ERRNOS = {
    "btstack": (ENOMEM, EALREADY, EBUSY, ENOTCONN, EINVAL),
    "nimble": (
        EAGAIN,
        EALREADY,
        EINVAL,
        ENOENT,
        ENOMEM,
        ENOTCONN,
        EOPNOTSUPP,
        ETIMEDOUT,
        EBUSY,
        EIO,
    ),
}
"""Name: all that a call may raise: btstack_error_to_errno and ble_hs_err_to_errno in MicroPython's extmod."""


def acl_octets(value: bytes) -> int:
    """Octets of the ACL packet that carries an ATT value."""
    return len(value) + ATT_L2CAP_OCTETS
