"""A board offers a service of its own beside the link: handed over, or registered behind the link's back."""

import asyncio
import sys

import aioble
import bluetooth
import picolink

COUNT = 40
EVENTS = []


def note(event, detail):
    EVENTS.append((event, detail))
    print("event", event, detail)


def service():
    own = aioble.Service(bluetooth.UUID("6e400001-b5a3-f393-e0a9-e50e24dcca9e"))
    temperature = aioble.Characteristic(
        own, bluetooth.UUID("6e400003-b5a3-f393-e0a9-e50e24dcca9e"), notify=True
    )
    return own, temperature


def told():
    return [detail for event, detail in EVENTS if "has registered services" in detail]


async def main(role, how="handed over"):
    own, temperature = service()
    options = {"services": [own]} if (role, how) == ("advertise", "handed over") else {}
    async with getattr(picolink, role)("Own", on_event=note, **options) as link:
        if role == "connect":
            for number in range(COUNT):
                assert await link.recv() == str(number)
            await link.send("thanks")
            await link.flush()  # close() would give up before the other board notices what it did to itself
        else:
            if how == "behind":
                aioble.register_services(own)
            for number in range(COUNT):
                await link.send(str(number))
                await asyncio.sleep_ms(10)
            await link.flush()
            assert await link.recv() == "thanks"
            if how == "behind":
                assert len(told()) == 1, EVENTS
            else:
                assert not told(), EVENTS
                bluetooth.BLE().gatts_write(temperature._value_handle, b"21")
                assert bluetooth.BLE().gatts_read(temperature._value_handle) == b"21"
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
