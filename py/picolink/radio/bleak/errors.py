"""Bluetooth of this PC does not work: what that is, and what to do, for a person."""

import sys

from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError
from bleak.exc import BleakBluetoothNotAvailableReason as Reason

_SWITCH_ON = {
    "linux": "bluetoothctl power on (after: rfkill unblock bluetooth)",
    "win32": "Settings, Bluetooth & devices",
    "darwin": "Control Centre, Bluetooth",
}
_ALLOW = {
    "linux": "join the group bluetooth (sudo adduser $USER bluetooth), then log in again",
    "win32": "Settings, Privacy & security, Radios: let desktop apps use them",
    "darwin": "System Settings, Privacy & Security, Bluetooth: switch on what runs Python, such as Terminal",
}
_NO_BLUEZ = (
    "Linux has no Bluetooth service (BlueZ) running: sudo apt install bluez, "
    "then sudo systemctl start bluetooth. Containers and WSL have none: use the system outside them"
)
_OLD_ADAPTER = (
    "this PC's Bluetooth cannot be a Bluetooth LE central: use a USB adapter for Bluetooth 4.0 or newer"
)


class BluetoothError(RuntimeError):
    """This PC's Bluetooth cannot be used; the message says why and what to do."""


def unusable(error):
    """The BluetoothError that says why Bluetooth cannot be used: bleak has raised `error`."""
    return BluetoothError(explain(error) or "Bluetooth cannot be used: %r" % error)


def explain(error):
    """What is wrong with this PC's Bluetooth, and what to do, as a str; None: something else is wrong."""
    if isinstance(error, BleakBluetoothNotAvailableError):
        return _not_available(error)
    if isinstance(error, BleakDBusError):
        name = error.dbus_error
        if name.endswith(("ServiceUnknown", "NameHasNoOwner")):
            return _NO_BLUEZ
        if name.endswith(("AccessDenied", "NotAuthorized", "NotPermitted")):
            return "this user may not use Bluetooth: " + _for_system(_ALLOW)
        if name.endswith("NotReady"):
            return "Bluetooth is switched off: " + _for_system(_SWITCH_ON)
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):  # the socket of D-Bus
        return _NO_BLUEZ
    if isinstance(error, PermissionError):
        return "this user may not use Bluetooth: " + _for_system(_ALLOW)
    return None


def _not_available(error):
    reason = error.reason
    if reason is Reason.POWERED_OFF:
        return "Bluetooth is switched off: " + _for_system(_SWITCH_ON)
    if reason is Reason.NO_BLUETOOTH:
        return "this PC has no Bluetooth adapter, or none that works: plug one in (%s)" % error.args[0]
    if reason is Reason.NO_BLE_CENTRAL_ROLE:
        return _OLD_ADAPTER
    if reason in (Reason.DENIED_BY_USER, Reason.DENIED_BY_SYSTEM, Reason.DENIED_BY_UNKNOWN):
        return "this program may not use Bluetooth: " + _for_system(_ALLOW)
    return "Bluetooth cannot be used: %s" % error.args[0]


def _for_system(advice):
    return advice.get(sys.platform, "see the settings of this system")
