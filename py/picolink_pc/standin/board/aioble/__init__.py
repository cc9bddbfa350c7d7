# Simulator code for virtual boards, never installed on a board: takes the place of `aioble` (micropython-lib).
#
# Only what picolink uses, written from aioble's documentation and behaviour (0.6 on BTstack), faults included.

from micropython import const

from .central import scan
from .core import GattError, config, stop
from .device import Device, DeviceDisconnectedError
from .peripheral import Characteristic, Service, advertise, register_services

ADDR_PUBLIC = const(0)
ADDR_RANDOM = const(1)
