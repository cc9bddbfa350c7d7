# Simulator code for virtual boards, never installed on a board: takes the place of aioble.
#
# It has what picolink uses, and stands on the stand-in for `bluetooth`.  For all of aioble there is --aioble.

from . import gap as central  # noqa: F401 - where picolink looks for _active_scanner
from .core import DeviceDisconnectedError, GattError, config, stop  # noqa: F401
from .gap import Device, advertise, scan  # noqa: F401
from .gatt import Characteristic, Service, register_services  # noqa: F401
