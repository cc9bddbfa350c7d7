"""Debian's Chromium without a window, driven by its DevTools protocol: what a test needs of it.

async with Browser() as browser:
    page = await browser.open("http://localhost:8000/")
    await page.until("document.title === 'picolink'")
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections import defaultdict
from pathlib import Path

from websockets.asyncio.client import connect

_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-features=WebBluetooth",
    "--remote-debugging-port=0",
)
_LIMIT_S = 60
EMPTY = "about:blank"


class BrowserError(Exception):
    """Chromium refuses a command, or a page raises an exception."""


class Browser:
    """Use it with `async with`."""

    async def __aenter__(self):
        program = shutil.which("chromium")
        if not program:
            raise FileNotFoundError("chromium is missing: run 'make test', which installs it")
        self._folder = Path(tempfile.mkdtemp(prefix="picolink-chromium-"))
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            *sandbox,
            f"--user-data-dir={self._folder}",
            EMPTY,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"HOME": str(self._folder)},
            start_new_session=True,
        )
        there = self._folder / "DevToolsActivePort"
        async with asyncio.timeout(_LIMIT_S):
            while not there.exists() or there.read_text().count("\n") < 1:
                await asyncio.sleep(0.05)
        port, path = there.read_text().split()
        self._socket = await connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None)
        self._numbers = itertools.count(1)
        self._answers = {}
        self._handlers = defaultdict(list)  # (session, event): functions
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_exception):
        self._reader.cancel()
        await self._socket.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._answers.pop(message["id"])
                if not answer.done():
                    answer.set_result(message)
            else:
                for handler in self._handlers[message.get("sessionId"), message["method"]]:
                    handler(message["params"])

    async def do(self, method, session=None, **parameters):
        """A command of the protocol: what it answers. Raises BrowserError."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        answered = await answer  # as long as the test may take
        if "error" in answered:
            raise BrowserError(f"{method}: {answered['error']['message']}")
        return answered["result"]

    def on(self, event, handler, session=None):
        """Call handler(parameters) at each event."""
        self._handlers[session, event].append(handler)

    async def open(self, url=EMPTY, width=1100, height=900):
        """A new tab with this page."""
        target = (await self.do("Target.createTarget", url=EMPTY))["targetId"]
        session = (await self.do("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(self, session, target)
        for event in ("Page", "Runtime", "Log"):
            await page.do(f"{event}.enable")
        await page.resize(width, height)
        if url != EMPTY:
            await page.go(url)
        return page


class Page:
    """A tab.   errors: texts of its exceptions and of what the console calls an error."""

    def __init__(self, browser, session, target):
        self.browser = browser
        self.session = session
        self.errors = []
        self._target = target
        browser.on("Runtime.exceptionThrown", self._on_exception, session)
        browser.on("Runtime.consoleAPICalled", self._on_console, session)
        browser.on("Log.entryAdded", self._on_entry, session)

    def _on_exception(self, told):
        details = told["exceptionDetails"]
        self.errors.append(details.get("exception", {}).get("description") or details["text"])

    def _on_console(self, told):
        if told["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in told["args"]))

    def _on_entry(self, told):
        if told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def do(self, method, **parameters):
        return self.browser.do(method, self.session, **parameters)

    def on(self, event, handler):
        self.browser.on(event, handler, self.session)

    async def go(self, url):
        await self.do("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href !== '{EMPTY}'")

    async def resize(self, width, height, mobile=False):
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    async def prefer(self, scheme):
        """scheme: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.do("Emulation.setEmulatedMedia", features=features)

    async def run(self, script):
        """The value of a script, which may await; as if a person had just clicked. Raises BrowserError."""
        result = await self.do(
            "Runtime.evaluate",
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    async def until(self, condition, limit_s=30):
        """Wait until a script's condition holds."""
        try:
            async with asyncio.timeout(limit_s):
                while not await self.run(f"return Boolean({condition})"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            seen = await self.run("return document.body.innerText")
            raise AssertionError(f"not within {limit_s} s: {condition}; the page:\n{seen}") from None

    async def press(self, key, down_only=False):
        for kind in ("keyDown",) if down_only else ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def release(self, key):
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def picture(self, file):
        size = (await self.do("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = await self.do("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        Path(file).write_bytes(base64.b64decode(shot["data"]))

    async def close(self):
        await self.browser.do("Target.closeTarget", targetId=self._target)
