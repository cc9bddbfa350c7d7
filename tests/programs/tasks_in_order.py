"""Messages that many tasks send arrive in the order in which the tasks were made."""

import asyncio
import sys

import picolink

COUNT = 250  # tasks, that a Pico W has room for


async def main(role):
    async with getattr(picolink, role)("Tasks in order", tx_size=512) as link:
        if role == "advertise":
            tasks = []
            for number in range(COUNT):
                tasks.append(asyncio.create_task(link.send("%0*d" % (1 + number % 40, number))))
                if number % 20 == 19:
                    await asyncio.sleep_ms(5)  # acknowledgements make room meanwhile
            await asyncio.gather(*tasks)
        else:
            received = []
            async for message in link:
                received.append(int(message))
            assert received == list(range(COUNT)), received
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
