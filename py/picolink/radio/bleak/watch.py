"""The boards in sight: what they advertise."""

import contextlib

import bleak

from ... import wire
from .errors import unusable

_ABOUT = 7  # bytes, see wire.about()


@contextlib.asynccontextmanager
async def watch(radio, see):
    """See Radio.watch()."""

    def on_advertisement(device, advertised):
        about = _about(advertised.manufacturer_data.get(wire.COMPANY, b""))
        see(advertised.local_name or device.name or "", device.address, advertised.rssi, about)

    async with radio.turns.turn(), contextlib.AsyncExitStack() as stack:
        scanner = bleak.BleakScanner(on_advertisement, [wire.SERVICE], **radio.scanner_options)
        try:
            await stack.enter_async_context(scanner)
        except Exception as e:
            raise unusable(e) from e
        yield


def _about(data):
    return (data[:4], "%d.%d.%d" % tuple(data[4:])) if len(data) == _ABOUT else None
