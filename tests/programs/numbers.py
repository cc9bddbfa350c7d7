"""A board that sends numbered messages, prints the numbers that it gets, and says how it went, one line each.

    numbers.py advertise|connect '{"send": 100, "expect": 100, ...}'

Options (JSON): name; send, expect: messages each way; size: bytes of each; read_ms: pause after each message
read; pause_ms: pause after each message sent; nowait: use send_nowait; quiet: print only the summary; link:
options of the link (engine, tx_size, rx_size); faults: options of faults.install(); deaf: [number, ms]: see
faults.FaultyBle.deaf(), after this message; off_ms: see faults.switch_off(); heap: print the heap in use,
five times a second.
"""

import asyncio
import gc
import json
import struct
import sys

import picolink


def on_event(event, detail):
    print("event", event + ":", detail)


def message(number, size):
    """`size` bytes (4 or more) that begin with the number and whose every byte depends on it."""
    return struct.pack("<I", number) + bytes((number + i) & 0xFF for i in range(size - 4))


async def send(link, options):
    for number in range(options["send"]):
        data = message(number, options.get("size", 18))
        if options.get("nowait"):
            while not link.send_nowait(data, number & 15):
                await asyncio.sleep_ms(1)
        else:
            await link.send(data, number & 15)
        if options.get("pause_ms"):
            await asyncio.sleep_ms(options["pause_ms"])
    print("sent", options["send"])
    await link.flush()
    print("flushed")


async def receive(link, options):
    received = []
    async for data in link:
        number = struct.unpack_from("<I", data)[0]
        if data != message(number, len(data)) or link.channel != number & 15:
            print("damaged", number)
        received.append(number)
        if "deaf" in options and number == options["deaf"][0]:
            import faults

            print("deaf")
            faults.core.ble.deaf(options["deaf"][1])
        if not options.get("quiet"):
            print("got", number)
        if options.get("read_ms"):
            await asyncio.sleep_ms(options["read_ms"])
        if len(received) == options["expect"]:
            break
    in_order = received == list(range(received[0], received[0] + len(received))) if received else True
    print("received", len(received), "in order" if in_order else "OUT OF ORDER")


async def watch_heap():
    """Print the heap in use, five times a second."""
    while True:
        await asyncio.sleep_ms(200)
        gc.collect()
        print("heap", gc.mem_alloc())


async def main(role, options):
    if "faults" in options or "off_ms" in options:
        import faults
    if "faults" in options:
        faults.install(options["faults"])
    link = getattr(picolink, role)(
        options.get("name", "Numbers"), on_event=on_event, **options.get("link", {})
    )
    tasks = []
    if options.get("heap"):
        tasks.append(asyncio.create_task(watch_heap()))
    async with link:
        if "faults" in options:
            faults.begin()
        if "off_ms" in options:
            tasks.append(asyncio.create_task(faults.switch_off(options["off_ms"])))
        print("engine", link.engine)
        await asyncio.gather(send(link, options), receive(link, options))
    print("stats", json.dumps(link.stats))
    if "faults" in options:
        print("faults", json.dumps(faults.counts()))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
