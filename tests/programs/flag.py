# picolink.runtime.Flag, on MicroPython and on CPython.
import asyncio

from picolink.runtime import Flag, sleep_ms, ticks_diff, ticks_ms


async def waited(flag, ms):
    """How long it has waited, in ms."""
    began = ticks_ms()
    await flag.wait(ms)
    return ticks_diff(ticks_ms(), began)


async def after(ms, call):
    await sleep_ms(ms)
    call()


async def goes_on_when_it_is_set(flag):
    flag.set()
    assert await waited(flag, 1000) < 50, "set before"
    assert await waited(flag, 50) >= 49, "it was not set any more"
    task = asyncio.create_task(after(20, flag.set))
    assert 15 < await waited(flag, 1000) < 500, "set meanwhile"
    await task


async def is_cancelled(flag, more):
    """The cancellation arrives, also when the flag is set in the same turn."""
    task = asyncio.create_task(flag.wait(1000))
    await sleep_ms(10)
    task.cancel()
    more()
    try:
        await task
    except asyncio.CancelledError:
        return
    raise AssertionError("it was not cancelled")


async def is_set_as_its_time_is_up(flag):
    for _ in range(50):
        task = asyncio.create_task(after(2, flag.set))
        await flag.wait(2)
        await task
    flag.set()
    await flag.wait(0)
    assert await waited(flag, 30) >= 29


async def main():
    other = Flag()
    flag = Flag(other)
    flag.register()
    await goes_on_when_it_is_set(other)
    both = [asyncio.create_task(each.wait(1000)) for each in (flag, other)]
    await sleep_ms(5)
    began = ticks_ms()
    flag.set()
    other.set()
    await asyncio.gather(*both)
    assert ticks_diff(ticks_ms(), began) < 500, "both set"
    await goes_on_when_it_is_set(flag)
    await is_cancelled(flag, lambda: None)
    await is_cancelled(flag, flag.set)
    await flag.wait(0)
    await is_set_as_its_time_is_up(flag)
    flag.release()
    print("ok")


asyncio.run(main())
