"""A task that is cancelled while its link hangs up is cancelled."""

import asyncio
import sys

import picolink


async def use(link, log):
    async with link:
        await link.recv()
    log.append("went on")


async def main(role):
    link = getattr(picolink, role)("Cancelled at the end")
    if role == "connect":
        async with link:
            await link.send("ready")
            async for _ in link:
                pass
    else:
        log = []
        task = asyncio.create_task(use(link, log))
        while not link._policy.closed:
            await asyncio.sleep_ms(0)
        assert task.cancel()
        try:
            await task
            raise AssertionError("it was not cancelled")
        except asyncio.CancelledError:
            pass
        assert log == []
    async with getattr(picolink, role)("Cancelled at the end"):
        print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
