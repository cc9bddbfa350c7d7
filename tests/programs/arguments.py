"""Wrong arguments raise at the call, name the value, and leave nothing behind."""

import asyncio
import sys

import picolink


def refuses(error, part, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error as e:
        assert part in str(e), (str(e), "does not name", part)
        return
    raise AssertionError("taken: " + repr(args))


async def main(role):
    make = getattr(picolink, role)
    refuses(TypeError, "5", make, 5)
    refuses(ValueError, "1 to 28 bytes", make, "")
    refuses(ValueError, "29", make, "x" * 29)
    refuses(ValueError, "30", make, "\u00e9" * 15)
    refuses(ValueError, "turbo", make, "Arguments", engine="turbo")
    refuses(ValueError, "1000", make, "Arguments", tx_size=1000)
    refuses(ValueError, "65536", make, "Arguments", rx_size=65536)
    refuses(TypeError, "1.5", make, "Arguments", rx_size=1.5)
    async with make("Arguments \u00fc\u4e16", tx_size=512, rx_size=256) as link:
        for send in (link.send_nowait,):
            refuses(TypeError, "message is a set", send, {7})
            refuses(TypeError, "message[1]['x'] is an object", send, [7, {"x": object()}])
            refuses(ValueError, "16", send, b"x", 16)
            refuses(ValueError, "-1", send, b"x", -1)
            refuses(TypeError, "a", send, b"x", "a")
            refuses(ValueError, "511", send, bytes(511))
            refuses(ValueError, "255", send, bytes(255))  # fits here, never there
        try:
            async with make("Arguments"):
                raise AssertionError("two links at once")
        except RuntimeError as e:
            assert "one connection" in str(e)
        await link.send("\u00fc")
        await link.send(b"")
        await link.send(bytearray(b"b"), 15)
        await asyncio.wait_for(link.send(memoryview(b"mv")), 1)
        await asyncio.gather(link.send(b"g", 1), link.send(b"t", 2))
        received = []
        for _ in range(6):
            received.append((await link.recv(), link.channel))
        expected = [("\u00fc", 0), (b"", 0), (b"b", 15), (b"mv", 0), (b"g", 1), (b"t", 2)]
        assert received == expected, received
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
