"""The role of a board that meets one with the same program: it advertises and looks for it in turn."""

from ...meeting import meet
from .central import Central
from .peripheral import Peripheral

_CONNECT_MS = 1500  # the other board may be looking around itself, and advertises again soon


class Both(Peripheral, Central):
    def __init__(self, name, services):
        Central.__init__(self, name)
        Peripheral.__init__(self, name, services)

    async def establish(self):
        self.prepare()
        await meet(self, self._policy)

    async def look(self, ms, others):
        self.check_stray()
        address = await self.find(ms, others)
        if not address:
            return False
        self.irq = self.on_central
        self._policy.transmit = self.write
        await self.join(address, _CONNECT_MS)
        return True

    async def wait(self, ms):
        self.check_stray()
        self.irq = self.on_peripheral
        self._policy.transmit = self.notify
        return await Peripheral.wait(self, ms)
