"""The page in Debian's Chromium, with virtual boards: through `picolink web`, and over Web Bluetooth."""

import asyncio
import json
import re
import shutil

import pytest
from picolink_pc import products
from picolink_pc.web_server import WebServer
from web_room import (
    CONNECT,
    ECHO,
    EXCHANGE,
    KEY,
    REMOTE_CONTROL,
    ROOT,
    TESTS,
    bluetooth,
    boards,
    connected,
    logged,
    plain,
    reads,
    says,
    script,
)

pytestmark = pytest.mark.slow

SWITCH = "document.querySelector('[role=switch]')"


def test_the_page_drives_a_virtual_board(browser):
    browser, run = browser

    async def main():
        async with boards(REMOTE_CONTROL) as (_, server, board):
            page = await connected(browser, server.address)
            await page.until(logged('"left":0'))
            await page.run("document.querySelector('.stick').focus()")
            await page.press("ArrowUp", down_only=True)
            await page.until(reads("left", "100 %"))
            await page.press("ArrowRight", down_only=True)
            await page.until(reads("right", "0 %"))
            await page.release("ArrowUp")
            await page.release("ArrowRight")
            await page.until(reads("left", "0 %"))
            await page.run(f"{SWITCH}.click()")
            await board.line(r"\[LED on\]")
            await page.run("document.getElementById('log').replaceChildren()")
            await page.until(logged('"led":true'))
            assert await page.run(f"return {SWITCH}.getAttribute('aria-checked')") == "true"
            await page.run("document.getElementById('text').value = 'hello'")
            await page.run("document.getElementById('send-button').click()")
            await board.line("not for a robot: .*hello")
            await page.until("document.querySelector('#plot polyline').getAttribute('points').length > 20")
            await page.until(
                "/[1-9]\\d*, [1-9]\\d* acknowledged/.test(document.getElementById('stats').innerText)"
            )
            await page.run("document.getElementById('disconnect').click()")
            await page.until(says("closed"))
            await page.run(CONNECT)
            await page.until(says("Connected to Robot."))
            assert page.errors == []
            await page.close()

    run(main())


SET = """
const control = document.querySelector(QUERY);
control.value = VALUE;
for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
"""


def sets(query, value):
    return SET.replace("QUERY", json.dumps(query)).replace("VALUE", json.dumps(value))


def test_a_panel_with_one_of_each_item(browser):
    """What the board declares is shown and operated, as text; what cannot be is told, and harmless."""
    browser, run = browser

    async def main():
        async with boards(TESTS / "programs/panel.py") as (_, server, board):
            page = await connected(browser, server.address, "Panel")
            await page.until(reads("temperature", "21.7 °C"))
            await page.until("document.querySelectorAll('#legend li').length === 1")
            shown = await page.run("return document.getElementById('panel').innerText")
            for text in ("<b>door", "on", "-2.5 %", "30", "<i>fast", "say", "horn"):
                assert text in shown
            assert await page.run(f"return {SWITCH}.getAttribute('aria-checked')") == "true"
            assert (
                await page.run("return document.querySelector('#panel form input').value") == '{"toString":5}'
            )
            await page.run(f"{SWITCH}.click()")
            await board.line("got: {'led': False}")
            await page.run(sets("input[max='10']", 7.5))
            await board.line("^speed: 7.5")
            await page.run(sets("input[max='100']", 40))
            await board.line("got: {'volume': 40}")
            await page.run(sets("#panel select", "slow"))
            await board.line("got: {'mode': 'slow'}")
            await page.run(sets("#panel form input", "hello"))
            await page.run("document.querySelector('#panel form button').click()")
            await board.line("got: {'say': 'hello'}")
            await page.run("[...document.querySelectorAll('#panel > button')].at(-1).click()")
            await board.line("got: {'horn': True}")
            declare = (
                "const { page } = await import('./page.js'); await page.link.send(JSON.stringify(WHAT));"
            )
            hostile = [
                {"panel": None},
                {"panel": [{"name": "x", "type": "<script>"}]},
                {"panel": [{"name": "x", "type": "sensor", "onclick": "alert(1)"}]},
                {"panel": [{"name": "a", "type": "button"}] * 33},
            ]
            for number, wrong in enumerate(hostile, 1):
                await page.run(declare.replace("WHAT", json.dumps(wrong)))
                told = "document.getElementById('log').innerText.match(/panel is not used: /g)"
                await page.until(f"{told}?.length === {number}")
            assert await page.run("return document.querySelectorAll('#panel > *').length") == 9
            await page.run(
                declare.replace("WHAT", '{ panel: [{ name: "drive", type: "joystick", channel: 1 }] }')
            )
            await page.until("document.querySelectorAll('#panel > *').length === 1")
            assert page.errors == []
            await page.close()

    run(main())


def test_5000_messages_each_way_in_order(browser):
    browser, run = browser

    async def main():
        async with boards(ECHO, "Echo") as (_, server, _board):
            page = await plain(browser, server.address)
            result = await page.run(script(EXCHANGE.replace("COUNT", "5000")))
            assert (result["wrong"], result["count"]) == (-1, 5000)
            assert page.errors == []
            await page.close()

    run(main())


def test_drops_lose_nothing(browser):
    browser, run = browser

    async def main():
        async with boards(ECHO, "Echo") as (room, server, _board):
            page = await plain(browser, server.address)
            work = asyncio.create_task(page.run(script(EXCHANGE.replace("COUNT", "4000"))))
            for _ in range(2):
                await asyncio.sleep(1)
                room.radio.drop()
            result = await work
            assert (result["wrong"], result["count"]) == (-1, 4000)
            assert result["connections"] > 1, result["told"]
            await page.close()

    run(main())


def test_a_key_that_is_missing_or_wrong_is_told(browser):
    browser, run = browser

    async def main():
        async with boards(ECHO, "Echo", KEY) as (_, server, _board):
            page = await plain(browser, server.address)
            result = await page.run(script(EXCHANGE.replace("COUNT", "100"), key=KEY))
            assert (result["wrong"], result["count"]) == (-1, 100)
            for options, told in (
                ({}, "talks with a key only"),
                ({"key": KEY[:-8] + "00000000"}, None),
            ):
                body = 'return String(await connect("Echo", options).catch((e) => e)) + told.join()'
                said = await page.run(script(body, **{"timeoutMs": 3000, **options}))
                assert (told or "a key as text is what") in said
            await page.close()

    run(main())


def test_two_tabs_and_a_reload(browser):
    browser, run = browser

    async def main():
        async with boards(REMOTE_CONTROL) as (_, server, _board):
            first = await connected(browser, server.address)
            second = await plain(browser, server.address)
            await second.run("document.getElementById('name').value = 'Robot'")
            await second.run(CONNECT)
            await second.until(logged("no board named 'Robot' in sight"))
            await first.close()
            await second.until(says("Connected to Robot."))
            await second.do("Page.reload")
            await second.until("document.body?.dataset.ready")
            await second.run(CONNECT)
            await second.until(says("Connected to Robot."))
            await second.until(reads("left", "0 %"))  # the panel comes again
            assert second.errors == []
            await second.close()

    run(main())


def test_a_browser_that_keeps_nothing_for_the_site(browser):
    browser, run = browser
    blocked = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } })"

    async def main():
        async with boards(ECHO, "Echo") as (_, server, _board):
            page = await browser.open()
            await page.do("Page.addScriptToEvaluateOnNewDocument", source=blocked)
            await page.go(server.address)
            await page.until("document.body?.dataset.ready")
            await page.run("document.getElementById('forget').click()")
            await page.run("document.getElementById('name').value = 'Echo'")
            await page.run(CONNECT)
            await page.until(says("Connected to Echo."))
            assert page.errors == []
            await page.close()

    run(main())


def test_the_page_may_do_no_more_than_it_needs(browser):
    browser, run = browser

    async def main():
        async with boards(ECHO, "Echo") as (_, server, _board):
            page = await plain(browser, server.address)
            policy = await page.run("return (await fetch('./')).headers.get('content-security-policy')")
            in_page = await page.run(
                "return document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
            )
            assert policy == in_page + "; frame-ancestors 'none'" and "default-src 'none'" in policy
            blocked = await page.run("return String(await fetch('http://127.0.0.1:9/').catch((e) => e))")
            assert "TypeError" in blocked
            assert await page.run("try { return eval('1') } catch (e) { return e.name }") == "EvalError"
            assert any("Content Security Policy" in error for error in page.errors)
            await page.close()

    run(main())


def test_the_page_of_another_site_is_refused():
    async def answer(port, path, **headers):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [
            f"GET {path} HTTP/1.1",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status = await reader.readline()
        writer.close()
        return status.split()[1].decode()

    async def main():
        async with WebServer(products.WEB, 0, object(), {}) as server:
            port = int(server.address.split(":")[2].strip("/"))
            own = f"localhost:{port}"
            socket = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec_WebSocket_Version": "13",
                "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            assert await answer(port, "/", Host=own) == "200"
            assert await answer(port, "/", Host=f"example.com:{port}") == "403"
            assert await answer(port, "/../package.json", Host=own) == "404"
            assert await answer(port, "/radio", Host=own, Origin="http://example.com", **socket) == "403"
            assert await answer(port, "/radio", Host=own, **socket) == "403"
            assert await answer(port, "/radio", Host=own, Origin=f"http://{own}", **socket) == "101"

    asyncio.run(main())


AXE = ROOT / "build/out/web-tests/node_modules/axe-core/axe.min.js"
LOOKS = [(360, "light"), (360, "dark"), (1100, "light"), (1100, "dark")]


def test_nothing_is_in_the_way_of_people_on_phones_and_desktops_in_light_and_dark(browser):
    """axe-core finds nothing; on a narrow phone nothing has to be scrolled to the side; buttons are large."""
    browser, run = browser

    async def main():
        async with boards(TESTS / "programs/panel.py") as (_, server, _board):
            page = await connected(browser, server.address, "Panel")
            await page.until(reads("temperature", "21.7 °C"))
            await page.until("document.querySelectorAll('#legend li').length === 1")
            await page.do("Runtime.evaluate", expression=AXE.read_text())
            for width, scheme in LOOKS:
                await page.resize(width, 740, mobile=width < 400)
                await page.prefer(scheme)
                found = await page.run("return (await axe.run()).violations")
                assert [violation["id"] for violation in found] == [], found
                assert await page.run("return document.documentElement.scrollWidth <= innerWidth"), width
                smallest = (
                    "Math.min(...Array.from(document.querySelectorAll('button'), (b) => b.offsetHeight))"
                )
                assert await page.run(f"return {smallest}") >= 44
            await page.run("document.getElementById('state').style.color = '#ccc'")
            await page.prefer("light")
            found = await page.run("return (await axe.run()).violations")
            assert [violation["id"] for violation in found] == ["color-contrast"]
            await page.close()

    run(main())


def test_the_page_works_without_the_network_after_the_first_visit(browser):
    browser, run = browser

    async def main():
        async with WebServer(products.WEB, 0, None, {}) as server:
            page = await plain(browser, server.address)
            await page.run("await navigator.serviceWorker.ready")
            await page.do("Page.reload")
            await page.until("document.body?.dataset.ready && navigator.serviceWorker.controller")
        await page.do("Page.reload", ignoreCache=False)
        await page.until("document.body?.dataset.ready")
        body = "return (await (await import('./picolink.js')).newEngine(1, new Uint8Array(8).fill(1))).state"
        assert await page.run(body) == 0
        await page.close()

    run(main())


# -- Web Bluetooth: the browser's own, see tests/web_bluetooth.py


def test_the_page_drives_a_board_over_web_bluetooth(browser):
    browser, run = browser

    async def main():
        async with bluetooth(browser, REMOTE_CONTROL) as (room, page, adapter, _board):
            await page.run(CONNECT)
            await page.until(says("Connected to Robot."))
            await page.until(reads("left", "0 %"))
            await page.run("document.querySelector('.stick').focus()")
            await page.press("ArrowUp", down_only=True)
            await page.until(reads("right", "100 %"))
            await page.release("ArrowUp")
            room.radio.drop()
            await page.until(says("The link was lost"))
            await page.until(says("Connected to Robot."))
            assert min(adapter.packets) > 5
            assert page.errors == []

    run(main())


def test_5000_messages_each_way_over_web_bluetooth_with_drops(browser):
    browser, run = browser

    async def main():
        async with bluetooth(browser, ECHO, "Echo", name="Echo") as (room, page, _adapter, board):
            exchange = EXCHANGE.replace("COUNT", "5000")
            work = asyncio.create_task(page.run(script(exchange, bluetooth=True)))
            # Not before: the browser's emulation does not come back from a drop while it connects.
            await board.line("connected")
            await asyncio.sleep(1)
            room.radio.drop()
            result = await work
            assert (result["wrong"], result["count"]) == (-1, 5000)
            assert result["connections"] == 2, result["told"]

    run(main())


def test_a_page_connects_to_a_board_that_meets(browser, tmp_path):
    browser, run = browser
    meets = tmp_path / "meets.py"
    meets.write_text(ECHO.read_text().replace("picolink.advertise", "picolink.meet"))

    async def main():
        async with bluetooth(browser, meets, "Echo", name="Echo") as (room, page, _adapter, board):
            work = asyncio.create_task(page.run(script(EXCHANGE.replace("COUNT", "3000"), bluetooth=True)))
            await board.line("connected")
            await asyncio.sleep(0.5)
            room.radio.drop()
            result = await work
            assert (result["wrong"], result["count"]) == (-1, 3000)

    run(main())


@pytest.mark.parametrize(
    ("options", "told"),
    [({"choose": "nothing"}, "No board was chosen."), ({"state": "absent"}, "has no Bluetooth")],
)
def test_no_board_is_had(browser, options, told):
    """The person says no; there is no Bluetooth. The page says so, and can be asked again."""
    browser, run = browser

    async def main():
        async with bluetooth(browser, REMOTE_CONTROL, **options) as (_, page, _adapter, _board):
            await page.run(CONNECT)
            await page.until(says(told))
            assert await page.run("return !document.getElementById('connect').disabled")
            assert page.errors == []

    run(main())


def test_the_five_lines_for_your_own_site(browser, tmp_path):
    """docs/web.md's page and script, beside picolink.js."""
    browser, run = browser
    document = (ROOT / "docs/web.md").read_text()
    site = tmp_path / "site"
    shutil.copytree(products.WEB, site)
    (site / "index.html").write_text(re.search(r"```html\n(.*?)```", document, re.DOTALL)[1])
    (site / "robot.js").write_text(re.search(r"```js\n(.*?)```", document, re.DOTALL)[1])

    async def main():
        async with bluetooth(browser, REMOTE_CONTROL, site=site) as (_, page, _adapter, board):
            await page.run(CONNECT)
            await board.line("not for a robot: .*hello")
            await page.until("document.getElementById('heard').value !== ''")

    run(main())
