"""A page that nobody sees, and a board that sends 20 numbers a second:  python tests/web_hidden.py MINUTES"""

import asyncio
import sys

from browser import Browser
from web_room import COUNT, TAKE_NUMBERS, bluetooth, boards, plain, script


async def hide(browser, page, way, minutes):
    await page.run("window.turns = 0; setInterval(() => turns++, 50)")
    other = await browser.open()
    await other.do("Page.bringToFront")
    for minute in range(minutes + 1):
        turns, numbers, connections = await page.run("return [turns, numbers.length, link.stats.connections]")
        print(
            f"{way}: minute {minute}: {turns} turns of its own, {numbers} numbers, {connections} connections"
        )
        await asyncio.sleep(60 if minute < minutes else 0)
    await other.close()
    await page.do("Page.bringToFront")
    await asyncio.sleep(1)
    numbers = await page.run("return numbers")
    whole = numbers == list(range(len(numbers)))
    print(f"{way}: {len(numbers)} numbers, {'all, in order' if whole else 'NOT ALL'}")


async def through_picolink_web(minutes):
    async with Browser() as browser, boards(COUNT) as (_, server, _board):
        page = await plain(browser, server.address)
        await page.run(script(TAKE_NUMBERS))
        await hide(browser, page, "picolink web", minutes)


async def through_web_bluetooth(minutes):
    async with Browser() as browser, bluetooth(browser, COUNT, name="Count") as (_, page, _adapter, _board):
        await page.run(script(TAKE_NUMBERS, bluetooth=True))
        await hide(browser, page, "Web Bluetooth", minutes)


async def main():
    minutes = int(sys.argv[1])
    await asyncio.gather(through_picolink_web(minutes), through_web_bluetooth(minutes))


if __name__ == "__main__":
    asyncio.run(main())
