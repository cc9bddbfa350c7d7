"""What tests of the page share: boards in a room, `picolink web` or Web Bluetooth between them and a page."""

import contextlib
import json
from pathlib import Path

import web_bluetooth
from picolink_pc import products, virtual_adapter
from picolink_pc.boards import Room
from picolink_pc.web_server import WebServer

TESTS = Path(__file__).parent
ROOT = TESTS.parent
REMOTE_CONTROL = ROOT / "examples/remote_control.py"
ECHO = TESTS / "programs/web_echo.py"
COUNT = TESTS / "programs/web_count.py"
KEY = "picolink-key-" + "00" * 32 + "-190a55ad"
ADDRESS = "28:CD:C1:00:02:01"


@contextlib.asynccontextmanager
async def boards(program, *arguments, **room_options):
    """A room with a board that runs a program, its server, and the board."""
    async with Room(**room_options) as room:
        board = room.board("board")
        await board.start(program, *arguments)
        radio = virtual_adapter.on(room.radio, ADDRESS)
        config = {"name": None, "said": "Boards here are virtual."}
        async with WebServer(products.WEB, 0, radio, config) as server:
            yield room, server, board


CONNECT = "document.getElementById('connect').click()"


def says(text):
    return f"document.getElementById('state').textContent.includes({json.dumps(text)})"


def logged(text):
    return f"document.getElementById('log').textContent.includes({json.dumps(text)})"


def reads(name, text):
    """The panel shows this."""
    return f"document.querySelector('output[aria-label={name}]')?.textContent === {json.dumps(text)}"


async def plain(browser, address):
    """A page on which nothing is connected."""
    page = await browser.open(address)
    await page.until("document.body.dataset.ready")
    return page


async def connected(browser, address, name="Robot"):
    page = await plain(browser, address)
    await page.run(CONNECT)
    await page.until(says(f"Connected to {name}."))
    return page


IN_PAGE = """
const { connect } = await import("./picolink.js");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const { WebSocketRadio } = await import("./picolink-websocket.js");
const told = (window.told = []);
const options = { timeoutMs: 15000, ...OPTIONS };
if (!options.bluetooth) options.radio = new WebSocketRadio(location.href.replace("http", "ws") + "radio");
options.onEvent = (event, detail) => told.push(event + ": " + detail);
"""


def script(body, **options):
    return IN_PAGE.replace("OPTIONS", json.dumps(options)) + body


EXCHANGE = """
const link = await connect(options.bluetooth ? undefined : "Echo", options);
const got = [];
const began = performance.now();
const receiving = (async () => {
  for await (const message of link) if (got.push(message) === COUNT) break;
})();
for (let i = 0; i < COUNT; i++) await link.send("message " + i);
await receiving;
const seconds = (performance.now() - began) / 1000;
const { connections } = link.stats;
await link.leave();
const wrong = got.findIndex((m, i) => m !== "message " + i);
return { wrong, count: got.length, seconds, connections, told };
"""


TAKE_NUMBERS = """
const link = window.link = await connect(options.bluetooth ? undefined : "Count", options);
const numbers = (window.numbers = []);
(async () => { for await (const number of link) numbers.push(number); })();
"""


@contextlib.asynccontextmanager
async def bluetooth(browser, program, *arguments, name="Robot", site=None, settings=None, **options):
    """A page, ours or that in the folder `site`, with the browser's Bluetooth, and a board there."""
    async with Room(settings) as room:
        board = room.board("board")
        await board.start(program, *arguments)
        radio = virtual_adapter.on(room.radio, ADDRESS)
        async with WebServer(site or products.WEB, 0, None, {}) as server:
            page = await browser.open()
            async with web_bluetooth.WebBluetooth(browser, page, radio, name, **options) as adapter:
                await page.go(server.address)
                if not site:
                    await page.until("document.body.dataset.ready")
                yield room, page, adapter, board
            await page.close()
