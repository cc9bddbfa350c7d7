"""Which connections this board's host stack has, told by its events before any task runs."""

import asyncio
import time

from aioble import core

_CONNECT, _DISCONNECT = (1, 7), (2, 8)  # events of both roles

connected = set()  # handles
_aioble_irq = core.ble_irq


def _irq(event, data):
    if event in _CONNECT:
        connected.add(data[0])
    elif event in _DISCONNECT:
        connected.discard(data[0])
    return _aioble_irq(event, data)


core.ble_irq = _irq


async def one_has_come():
    """Returns in the very turn in which the other board has come: no task has seen it."""
    while not connected:
        time.sleep_ms(1)  # busy: events come, tasks do not run
        if not connected:
            await asyncio.sleep_ms(0)
