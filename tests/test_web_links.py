"""Links of a page in Chromium: what phones choose, what people do, what browsers do to pages nobody sees."""

import asyncio
import json
import random
import re

import pytest
from picolink import key as keys
from picolink_pc.radio.air import RadioSettings
from web_room import (
    CONNECT,
    COUNT,
    ECHO,
    EXCHANGE,
    KEY,
    REMOTE_CONTROL,
    ROOT,
    TAKE_NUMBERS,
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


@pytest.mark.parametrize(("mtu", "interval_ms"), [(23, 15), (185, 30), (517, 48.75), (247, 60)])
def test_packet_sizes_and_intervals_that_phones_choose(browser, mtu, interval_ms):
    """A page never learns the ATT MTU: what the board says counts."""
    browser, run = browser
    settings = RadioSettings(interval_ms=interval_ms, mtu=mtu)

    async def main():
        options = {"name": "Echo", "settings": settings}
        async with bluetooth(browser, ECHO, "Echo", **options) as (_, page, adapter, _board):
            result = await page.run(script(EXCHANGE.replace("COUNT", "300"), bluetooth=True))
            assert (result["wrong"], result["count"], result["connections"]) == (-1, 300, 1)
            assert adapter.longest == [min(mtu - 3, 236)] * 2  # picolink fills 9 PDUs at most

    run(main())


def test_bluetooth_is_switched_off_during_use(browser):
    browser, run = browser

    async def main():
        async with bluetooth(browser, ECHO, "Echo", name="Echo") as (_, page, adapter, _board):
            exchange = asyncio.create_task(
                page.run(script(EXCHANGE.replace("COUNT", "3000"), bluetooth=True))
            )
            await page.until("window.told?.length")
            await adapter.switch(on=False)
            await page.until("told.some((event) => event.startsWith('not found: no board named'))")
            await adapter.switch(on=True)
            result = await exchange
            assert (result["wrong"], result["count"]) == (-1, 3000)
            assert result["connections"] > 1

    run(main())


def test_a_wrong_key_is_told_on_the_page(browser):
    browser, run = browser
    other = keys.text(bytes(range(32)))

    async def main():
        async with boards(ECHO, "Echo", KEY) as (_, server, _board):
            page = await plain(browser, server.address)
            await page.run("document.getElementById('name').value = 'Echo'")
            await page.run(f"document.getElementById('key').value = {json.dumps(other)}")
            await page.run(CONNECT)
            await page.until(says("Refused: "))
            assert await page.run(
                "return document.getElementById('state').textContent.includes('another key')"
            )
            assert page.errors == []
            await page.close()

    run(main())


COUNT_TICKS = """
window.ticks = 0; // of workers
const Real = Worker;
window.Worker = class extends Real {
  constructor(url) {
    super(url);
    this.addEventListener("message", () => (ticks += 1));
  }
};
"""


def test_a_hidden_page_keeps_its_link(browser):
    """Its own timers have a turn a second then, those of a worker have theirs. web_hidden.py takes longer."""
    browser, run = browser

    async def hide(page):
        await page.run("window.turns = 0; setInterval(() => turns++, 50)")
        other = await browser.open()
        await other.do("Page.bringToFront")
        await page.until("document.hidden")
        await asyncio.sleep(3)  # Chromium's rule begins
        before = await page.run("return [turns, ticks, numbers.at(-1)]")
        await asyncio.sleep(6)  # longer than silence is borne
        after = await page.run("return [turns, ticks, numbers.at(-1)]")
        turns, ticks, came = [a - b for a, b in zip(after, before, strict=True)]
        assert turns * 5 < came, "its timers were not slowed"
        assert ticks * 10 > came, "nothing wakes the link, 4 times a second"
        assert await page.run("return [document.hidden, link.stats.connections]") == [True, 1]
        await other.close()
        await page.do("Page.bringToFront")
        await page.until(f"numbers.at(-1) >= {after[2]} + 20")
        got = await page.run("return numbers")
        assert got == list(range(len(got)))

    async def main():
        async with bluetooth(browser, COUNT, name="Count") as (_, page, _adapter, _board):
            await page.run(COUNT_TICKS + script(TAKE_NUMBERS, bluetooth=True))
            await hide(page)

    run(main())


def test_a_frozen_page_goes_on_where_it_was(browser):
    """As on a locked phone: nothing of it runs, its worker neither. The board sees that nobody answers."""
    browser, run = browser

    async def main():
        async with boards(COUNT) as (_, server, board):
            page = await connected(browser, server.address, "Count")
            await page.run("const { page } = await import('./page.js'); window.page = page")
            await page.until(logged("20"))
            await page.do("Page.setWebLifecycleState", state="frozen")
            await board.line("disconnected")
            await page.do("Page.setWebLifecycleState", state="active")
            await page.until(logged("the browser had paused this page for"))
            await page.until("page.link.stats.connections > 1")
            await page.until(says("Connected to Count."))
            log = (
                "return Array.from(document.querySelectorAll('#log .received'), (p) => Number(p.textContent))"
            )
            before = len(await page.run(log))
            await page.until(f"document.querySelectorAll('#log .received').length > {before + 20}")
            got = await page.run(log)
            assert got == list(range(len(got)))
            assert all("Back-Forward Cache" in error for error in page.errors)  # it ends the WebSocket itself
            await page.close()

    run(main())


AGES = """
const link = await connect("Values", { ...options, txSize: 32768 });
const [stick, values, messages] = [link.newest(1), link.newest(2), link.newest(3)];
const ages = { value: [], message: [] };
const stamp = () => new Uint8Array(new Float64Array([performance.now()]).buffer);
const age = (bytes) => performance.now() - new Float64Array(bytes.slice().buffer)[0];
const follow = async (channel, into) => { for (;;) into.push(age(await channel.recv())); };
follow(values, ages.value).catch(() => {});
follow(messages, ages.message).catch(() => {});
let over = false;
const flooding = (async () => {
  const message = new Uint8Array(100);
  while (!over) {
    message.set(stamp());
    await link.send(message);
  }
})();
while (Math.min(ages.value.length, ages.message.length) < 60) {
  stick.send(stamp());
  await sleep(20);
}
over = true;
await flooding;
await link.leave();
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
return [median(ages.value), median(ages.message)];
"""


def test_a_value_of_the_joystick_is_not_as_old_as_a_message_that_waits(browser):
    """From when it is set until the page hears that the board has it, while messages go at full rate."""
    browser, run = browser

    async def main():
        async with boards(TESTS / "programs/web_values.py") as (_, server, _board):
            page = await plain(browser, server.address)
            value, message = await page.run(script(AGES))
            print(f"value {value:.0f} ms, message {message:.0f} ms")
            assert value < message / 2
            await page.close()

    run(main())


def test_a_joystick_falls_back_when_the_link_is_lost(browser):
    """The robot stops by itself, and does not go on as before when the link is back."""
    browser, run = browser

    async def main():
        async with boards(REMOTE_CONTROL) as (room, server, board):
            page = await connected(browser, server.address)
            await page.until(reads("left", "0 %"))
            await page.run("document.querySelector('.stick').focus()")
            await page.press("ArrowUp", down_only=True)
            await page.until(reads("left", "100 %"))
            room.radio.in_range = False
            stopped = await board.line("^stopped")
            assert int(re.search(r"(\d+) ms", stopped)[1]) >= 300
            await page.until(says("The link was lost"))
            assert await page.run("return document.querySelector('.stick').ariaValueText") == "x 0, y 0"
            room.radio.in_range = True
            await page.until(says("Connected to Robot."))
            await page.until(reads("left", "0 %"))
            await page.release("ArrowUp")
            await page.press("ArrowDown", down_only=True)
            await page.until(reads("left", "-100 %"))
            assert len([line for line in board.output if line.startswith("stopped")]) == 1
            assert page.errors == []
            await page.close()

    run(main())


FILES = """
const { fetchFile, sendFile } = await import("./picolink-files.js");
const link = await connect(undefined, options);
let state = SEED;
const next = () => (state = (state * 1103515245 + 12345) % 2147483648) >> 16;
const bytes = Uint8Array.from({ length: 100_000 }, next);
const seen = [];
await sendFile(link, bytes, "from a page.bin", { progress: (done) => seen.push(done) });
window.sent = true;
const back = await fetchFile(link, "from a page.bin");
const { connections } = link.stats;
await link.leave();
return [back.length, back.every((byte, i) => byte === bytes[i]), seen.at(-1), connections];
"""


def test_a_file_of_100_kb_to_a_board_and_back_with_a_drop(browser):
    """With examples/files.py."""
    browser, run = browser

    async def main():
        async with bluetooth(browser, ROOT / "examples/files.py", name="Files") as (
            room,
            page,
            _adapter,
            board,
        ):
            seed = str(random.Random(1).randrange(1 << 30))
            work = asyncio.create_task(page.run(script(FILES.replace("SEED", seed), bluetooth=True)))
            await board.line("connected")
            await asyncio.sleep(1)
            room.radio.drop()
            await board.line("new file: files/from a page.bin")
            *what, connections = await work
            assert what == [100_000, True, 100_000]
            assert connections > 1

    run(main())
