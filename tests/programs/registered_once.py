"""asyncio gets to know a link's flag when it opens, not at each wait: there may be no memory for that."""

import asyncio
from asyncio import core

import picolink


class Poller:
    registered = released = 0

    def __init__(self, poller):
        self._poller = poller
        self.modify = poller.modify
        self.ipoll = poller.ipoll

    def register(self, stream, flags):
        self.registered += 1
        self._poller.register(stream, flags)

    def unregister(self, stream):
        self.released += 1
        self._poller.unregister(stream)


poller = core._io_queue.poller = Poller(core._io_queue.poller)


async def main(role):
    async with getattr(picolink, role)("Once") as link:
        for number in range(100):
            await link.send(str(number))
            assert await link.recv() == str(number)
            if number % 25 == 0 and role == "connect":
                await link._role.hang_up()
        await link.flush()
        assert link.stats["connections"] > 3
        assert (poller.registered, poller.released) == (2, 0)
    while poller.released < 2:
        await asyncio.sleep_ms(10)
    print("ok")
