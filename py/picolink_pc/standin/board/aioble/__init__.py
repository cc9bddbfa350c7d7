# Simulator code for virtual boards, never installed on a board: stands in for `aioble`.
#
# Only what picolink uses, written from aioble's documentation and behaviour (0.6, BTstack), its faults too.

from micropython import const

from .central import scan
from .core import GattError, config, stop
from .device import Device, DeviceDisconnectedError
from .peripheral import Characteristic, Service, advertise, register_services

__all__ = (
    "Characteristic",
    "Device",
    "DeviceDisconnectedError",
    "GattError",
    "Service",
    "advertise",
    "config",
    "register_services",
    "scan",
    "stop",
)

ADDR_PUBLIC = const(0)
ADDR_RANDOM = const(1)
