"""For programs here: packets past the link, straight to the host stack."""

import asyncio

from picolink.policy import FULL_ERRNOS


async def transmit(link, packet):
    """Waits only while the host stack is full."""
    while True:
        try:
            return link._policy.transmit(packet)
        except OSError as e:
            if e.errno not in FULL_ERRNOS:
                raise
            await asyncio.sleep_ms(2)
