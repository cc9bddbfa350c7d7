"""A program that fails right after commit(): the other board is told, and what was committed comes once."""

import picolink


class Left(Exception):  # noqa: N818
    pass


async def main(role):
    if role == "advertise":
        async with picolink.advertise("Commit") as link:
            for number in range(6):
                await link.send(str(number))
            await link.flush(10_000)
        print("ok")
        return
    expected = 0
    for visit in range(3):
        try:
            async with picolink.connect("Commit", commit=True) as link:
                for _ in range(2):
                    message = await link.recv(10_000)
                    assert message == str(expected), (visit, message)
                    expected += 1
                    link.commit()  # the second one waits, for it comes right after the first
                raise Left
        except Left:
            pass
    print("ok")


if __name__ == "__main__":
    raise SystemExit("see in_memory.py")
