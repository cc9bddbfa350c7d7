"""Takes the pictures of the page in docs/images, with a virtual board:  python tests/web_pictures.py"""

import asyncio

import web_room as tests
from browser import Browser

FOLDER = tests.ROOT / "docs/images"
WIDTHS = {"phone": 360, "desktop": 1100}
DRIVEN_S = 6


async def main():
    async with Browser() as browser, tests.boards(tests.REMOTE_CONTROL) as (_, server, _board):
        page = await tests.connected(browser, server.address)
        await page.until(tests.reads("left", "0 %"))
        await page.run("document.querySelector('.stick').focus()")
        for keys in (["ArrowUp"], ["ArrowUp", "ArrowLeft"], ["ArrowRight"]):
            for key in keys:
                await page.press(key, down_only=True)
            await asyncio.sleep(DRIVEN_S / 3)
            for key in keys:
                await page.release(key)
        await page.run("document.activeElement.blur()")
        for device, width in WIDTHS.items():
            await page.resize(width, 740, mobile=device == "phone")
            for scheme in ("light", "dark"):
                await page.prefer(scheme)
                await asyncio.sleep(1)
                await page.picture(FOLDER / f"web-{device}-{scheme}.png")


if __name__ == "__main__":
    asyncio.run(main())
