"""The stand-in for Bluetooth behaves as BTstack does on a Pico W, as far as a link can notice."""

import asyncio
import time

import pytest
from picolink_pc.boards import Room
from picolink_pc.radio.air import RadioSettings

pytestmark = pytest.mark.slow

# Both boards: the service, the events that came (as `event number, data`), and ways to wait.
COMMON = """
import asyncio, aioble, bluetooth, micropython, sys, time
from aioble import core

SERVICE = bluetooth.UUID("7e570000-0000-4000-8000-000000000000")
TO_CENTRAL = bluetooth.UUID("7e570001-0000-4000-8000-000000000000")
TO_PERIPHERAL = bluetooth.UUID("7e570002-0000-4000-8000-000000000000")
ble = core.ble
events = []

def record(event, data):
    if event not in (5, 18):
        events.append((event, tuple(bytes(x) if isinstance(x, memoryview) else x for x in data)))

handlers = [record]

def irq(event, data):
    for handler in handlers:
        handler(event, data)
    core.ble_irq(event, data)

ble.irq(irq)

async def until(condition):
    while not condition():
        await asyncio.sleep_ms(5)

def error_of(function, *args):
    try:
        function(*args)
    except Exception as e:
        return "OSError %d" % e.errno if isinstance(e, OSError) else type(e).__name__

def number(data):
    return int(bytes(data[:6]))

def happened(event):
    return [data for e, data in events if e == event]
"""

PERIPHERAL = (
    COMMON
    + """
def serve():
    global notify, write, NOTIFY, WRITE
    service = aioble.Service(SERVICE)
    notify = aioble.Characteristic(service, TO_CENTRAL, notify=True)
    write = aioble.Characteristic(service, TO_PERIPHERAL, write_no_response=True)
    aioble.config(mtu=247)
    aioble.register_services(service)
    NOTIFY = notify._value_handle
    WRITE = write._value_handle
    ble.gatts_set_buffer(WRITE, 244)

async def advertise():
    connection = await aioble.advertise(30_000, name="A stand-in", services=[SERVICE])
    ble.gap_advertise(None)
    print("connected")
    return connection
"""
)

CENTRAL = (
    COMMON
    + """
async def find():
    async with aioble.scan(0, 30_000, 30_000, active=True) as scanner:
        async for result in scanner:
            if result.name() == "A stand-in" and SERVICE in result.services():
                return result.device

async def connect(mtu=247):
    global NOTIFY, WRITE, HANDLE
    aioble.config(mtu=mtu)
    device = await find()
    connection = await device.connect(10_000, 2000, 7_500, 15_000)
    HANDLE = connection._conn_handle
    if mtu:
        await connection.exchange_mtu(mtu)
    service = await connection.service(SERVICE)
    notify = await service.characteristic(TO_CENTRAL)
    write = await service.characteristic(TO_PERIPHERAL)
    await notify.subscribe()
    NOTIFY = notify._value_handle
    WRITE = write._value_handle
    print("connected")
    return connection

async def write_all(values):
    refused = 0
    for value in values:
        while True:
            try:
                ble.gattc_write(HANDLE, WRITE, value, 0)
                break
            except OSError as e:
                if e.errno != 114:
                    raise
                refused += 1
                await asyncio.sleep_ms(1)
    return refused
"""
)


@pytest.fixture
def play(run):
    """play(peripheral, central, check, **settings): two boards run these bodies of an async main().

    `check(a, b)` is awaited meanwhile.
    """

    async def on_bench(peripheral, central, check, settings):
        async with Room(RadioSettings(**settings)) as room:
            a, b = room.board("peripheral"), room.board("central")
            await a.start_code(PERIPHERAL + "\nserve()\n" + _main(peripheral))
            await b.start_code(CENTRAL + _main(central))
            await check(a, b)
            for board in (a, b):
                assert not [line for line in board.output if line.startswith("Traceback")], board.output

    def play(peripheral, central, check, **settings):
        run(on_bench(peripheral, central, check, settings))

    return play


def _main(body):
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"\nasync def main():\n{lines}\nasyncio.run(main())\n"


def expect(*lines):
    """A check that both boards print `lines`: (board, pattern) in any order between boards."""

    async def check(a, b):
        for board, pattern in lines:
            await {"peripheral": a, "central": b}[board].line(pattern)

    return check


def test_scan_finds_name_and_service_and_ends(play):
    # The passive one first: an answer to an active scan can still be on its way when the next one begins.
    central = """
async with aioble.scan(0, 30_000, 30_000, active=False) as scanner:
    async for result in scanner:
        break
results = []
async with aioble.scan(300, 30_000, 30_000, active=False) as scanner:
    async for result in scanner:
        results.append((result.name(), list(result.services()), result.rssi < 0))
print("passive", results[-1])
device = await find()
print("found", device.addr_hex(), device.addr_type)
print("again", (await find()).addr_hex())
"""
    play(
        "await advertise()",
        central,
        expect(
            # The name does not fit beside a 128-bit UUID and flags, and is in the scan response.
            ("central", r"passive \(None, \[UUID\('7e570000-.*'\)\], True\)"),
            ("central", "found 28:cd:c1:00:00:01 0"),
            ("central", "again 28:cd:c1:00:00:01"),
        ),
    )


@pytest.mark.parametrize(
    ("asked", "limit", "agreed"), [(247, 247, 247), (247, 185, 185), (100, 247, 100), (247, 23, 23)]
)
def test_mtu_is_the_least_of_both(play, asked, limit, agreed):
    peripheral = """
connection = await advertise()
await until(lambda: connection.mtu)
print("mtu", connection.mtu, happened(21))
await connection.disconnected()
"""
    central = f"""
connection = await connect({asked})
print("mtu", connection.mtu)
try:
    await connection.exchange_mtu({asked}, timeout_ms=200)
except asyncio.TimeoutError:
    print("only once")
"""
    play(
        peripheral,
        central,
        expect(
            ("peripheral", rf"mtu {agreed} \[\(1, {agreed}\)\]"),
            ("central", f"mtu {agreed}"),
            ("central", "only once"),
        ),
        mtu=limit,
    )


def test_thousands_both_ways_in_order(play):
    peripheral = """
got = []
def received(event, data):
    if event == 3:
        got.append(number(ble.gatts_read(data[1])))
handlers.append(received)
connection = await advertise()
await until(lambda: got)
for i in range(2000):
    ble.gatts_notify(connection._conn_handle, NOTIFY, b"%06d" % i)
    if i % 50 == 49:
        await asyncio.sleep_ms(10)
await until(lambda: len(got) == 2000)
print("received", got == list(range(2000)))
ble.gatts_notify(connection._conn_handle, NOTIFY, b"002000")
await connection.disconnected()
"""
    central = """
got = []
def received(event, data):
    if event == 18:
        got.append(number(data[2]))
handlers.append(received)
await connect()
await write_all(b"%06d" % i for i in range(2000))
await until(lambda: len(got) == 2001)  # the last when the peripheral has everything
print("received", got == list(range(2001)))
"""
    play(
        peripheral,
        central,
        expect(("peripheral", "received True"), ("central", "received True")),
        interval_ms=7.5,
    )


def test_third_write_is_refused_until_one_is_gone(play):
    central = """
await connect()
value = b"x" * 200
tries = [error_of(ble.gattc_write, HANDLE, WRITE, value, 0) for _ in range(3)]
print(tries)
print("refused", await write_all([value] * 20) > 0)
"""
    play(
        "await (await advertise()).disconnected()",
        central,
        expect(("central", r"\[None, None, 'OSError 114'\]"), ("central", "refused True")),
        interval_ms=100,
    )


def test_values_and_mtu(play):
    peripheral = """
connection = await advertise()
await until(lambda: happened(3))
for length in (20, 97, 98, 200):
    ble.gatts_notify(connection._conn_handle, NOTIFY, b"n" * length)
await connection.disconnected()
"""
    central = """
lengths = []
def received(event, data):
    if event == 18:
        lengths.append(len(data[2]))
handlers.append(received)
await connect(100)
await write_all([b"go"])
print("too long", error_of(ble.gattc_write, HANDLE, WRITE, b"w" * 98, 0))
await until(lambda: len(lengths) == 4)
print("cut", lengths)
"""
    play(
        peripheral,
        central,
        expect(("central", "too long OSError 22"), ("central", r"cut \[20, 97, 97, 97\]")),
    )


def test_written_value_is_overwritten_cut_or_appended(play):
    peripheral = """
ble.gatts_set_buffer(WRITE, {})
connection = await advertise()
await until(lambda: len(happened(3)) == 3)
print("value", ble.gatts_read(WRITE), ble.gatts_read(WRITE))
await connection.disconnected()
"""
    central = """
await connect()
await write_all([b"first", b"second", b"the third value"])
await asyncio.sleep(5)
"""
    for buffer, value in (
        ("20", r"b'the third value' b'the third value'"),
        ("5", r"b'the t' b'the t'"),
        ("18, True", r"b'firstsecondthe thi' b''"),
    ):
        play(peripheral.format(buffer), central, expect(("peripheral", f"value {value}")))


def test_disconnection_is_told_and_what_follows_raises(play):
    peripheral = """
connection = await advertise()
handle = connection._conn_handle
await connection.disconnected()
print("gone", happened(2), connection.is_connected())
print("raw", error_of(ble.gatts_notify, handle, NOTIFY, b"x"))
print("aioble", error_of(ble.gatts_notify, connection._conn_handle, NOTIFY, b"x"))
"""
    central = """
connection = await connect()
await connection.disconnect()
print("gone", happened(8), connection.is_connected())
print("raw", error_of(ble.gattc_write, HANDLE, WRITE, b"x", 0), ble.gap_disconnect(HANDLE), len(happened(8)))
"""
    play(
        peripheral,
        central,
        expect(
            ("peripheral", r"gone \[\(1, 255, b'\\x00\\x00\\x00\\x00\\x00\\x00'\)\] False"),
            ("peripheral", "raw OSError 22"),
            ("peripheral", "aioble TypeError"),
            ("central", r"gone \[\(1, 255, .*\)\] False"),
            ("central", "raw OSError 22 True 2"),
        ),
    )


def test_a_limit_ends_with_its_time_and_with_the_connection(play):
    peripheral = """
connection = await advertise()
await until(lambda: happened(3))
await connection.disconnect()
"""
    central = """
connection = await connect()
try:
    with connection.timeout(50):
        await asyncio.sleep(1000)
except asyncio.TimeoutError:
    print("time", connection.is_connected())
with connection.timeout(60_000):
    await write_all([b"go"])
try:
    with connection.timeout(60_000):
        await asyncio.sleep(1000)
except aioble.DeviceDisconnectedError:
    print("drop", connection.is_connected())
try:
    await connection.service(SERVICE)
except aioble.DeviceDisconnectedError:
    print("nothing more")
"""
    play(
        peripheral,
        central,
        expect(("central", "time True"), ("central", "drop False"), ("central", "nothing more")),
    )


def test_a_name_has_28_bytes_at_most(run):
    code = (
        COMMON
        + """
async def main():
    for size in (28, 29):
        try:
            await aioble.advertise(30_000, name=b"n" * size, services=[SERVICE], timeout_ms=50)
        except asyncio.TimeoutError:
            print("advertised", size)
        except ValueError as e:
            print(e, size)
    task = asyncio.create_task(aioble.advertise(30_000, name=b"n", services=[SERVICE]))
    await asyncio.sleep_ms(50)
    task.cancel()
    print("cancelled", await task)
asyncio.run(main())
"""
    )

    async def scenario():
        async with Room() as room:
            board = room.board("board")
            await board.start_code(code)
            await board.line("^advertised 28$")
            await board.line("^Advertising payload too long 29$")
            await board.line("^cancelled None$")
            assert await board.exit_code(10) == 0

    run(scenario())


@pytest.mark.parametrize("victim", ["peripheral", "central"])
def test_killed_board_is_noticed_by_supervision_timeout(play, victim):
    wait = """
connection = await {}
started = time.ticks_ms()
while True:
    await connection.disconnected()
    print("alone")
    connection = await {}
"""

    async def check(a, b):
        killed, survivor = (a, b) if victim == "peripheral" else (b, a)
        await killed.line("connected")
        await survivor.line("connected")
        start = time.monotonic()
        await killed.kill()
        await survivor.line("alone")
        # 2 s after the last packet, and as long as it took to kill.
        assert time.monotonic() - start > 1.5
        await killed.restart()
        await survivor.line("connected")

    play(wait.format("advertise()", "advertise()"), wait.format("connect()", "connect()"), check)


def test_program_that_ends_says_so(play):
    async def check(a, b):
        await b.line("connected")
        await b.exit_code(10)
        ended = time.monotonic()
        await a.line("alone")
        assert time.monotonic() - ended < 1.5, "the supervision timeout is 2 s"

    play("await (await advertise()).disconnected()\nprint('alone')", "await connect()", check)


def test_exception_in_a_handler_switches_events_off(play):
    peripheral = """
def received(event, data):
    if event == 3 and number(ble.gatts_read(WRITE)) == 1:
        raise ValueError("on purpose")
handlers.append(received)
connection = await advertise()
await until(lambda: ble.gatts_read(WRITE) >= b"000003")  # written, and not told
count = len(happened(3))
ble.irq(irq)
print("armed")
await until(lambda: len(happened(3)) > count)
print("before", count, "now", number(ble.gatts_read(WRITE)))
await connection.disconnected()
"""
    central = """
await connect()
await write_all(b"%06d" % i for i in range(4))
i = 4
while True:
    await asyncio.sleep_ms(200)
    await write_all([b"%06d" % i])
    i += 1
"""

    async def check(a, _):
        await a.line("Unhandled exception in IRQ callback handler")
        await a.line("on purpose")
        await a.line("armed")
        before = await a.line("before")
        assert before.split()[1] == "2", before  # the handler that records is the first
        a.output[:] = [line for line in a.output if "Traceback" not in line]

    play(peripheral, central, check)


def test_event_data_is_valid_in_the_handler_only(play):
    peripheral = """
connection = await advertise()
await until(lambda: happened(3))
ble.gatts_notify(connection._conn_handle, NOTIFY, b"first value")
await connection.disconnected()
"""
    central = """
views = []
def received(event, data):
    if event == 18:
        views.append((bytes(data[2]), data[2]))
handlers.append(received)
await connect()
await write_all([b"go"])
await until(lambda: views)
copy, view = views[0]
print("copy", copy == b"first value", "view", bytes(view) == copy)
"""
    play(peripheral, central, expect(("central", "copy True view False")))


def test_events_interrupt_a_program_that_does_not_await(play):
    peripheral = """
connection = await advertise()
await until(lambda: happened(3))
for i in range(400):
    ble.gatts_notify(connection._conn_handle, NOTIFY, b"%06d" % i)
    await asyncio.sleep_ms(5)
await connection.disconnected()
"""
    central = """
got = []
def received(event, data):
    if event == 18:
        got.append(number(data[2]))
handlers.append(received)
await connect()
await write_all([b"go"])
while not got:
    pass
print("busy loop")
for name, sleep in (("sleep", lambda: time.sleep(0.2)), ("sleep_ms", lambda: time.sleep_ms(200))):
    count = len(got)
    sleep()
    while len(got) - count <= 5:  # a busy PC: not in this one
        count = len(got)
        sleep()
    print("woken in", name)
while len(got) < 400:
    pass
print("all", got == list(range(400)))
"""
    play(
        peripheral,
        central,
        expect(
            ("central", "busy loop"),
            ("central", "woken in sleep$"),
            ("central", "woken in sleep_ms$"),
            ("central", "all True"),
        ),
    )


def test_packets_pass_with_the_heap_locked(play):
    peripheral = """
count = [0]
def received(event, data):
    if event == 3:
        count[0] += 1
handlers[:] = [received]
connection = await advertise()
while count[0] < 10:
    await asyncio.sleep_ms(5)
def locked():
    handle = connection._conn_handle
    value = b"y" * 50
    micropython.heap_lock()
    for _ in range(20):
        ble.gatts_notify(handle, NOTIFY, value)
    while count[0] < 60:
        pass
    micropython.heap_unlock()
locked()
print("received", count[0])
await connection.disconnected()
"""
    central = """
count = [0]
def received(event, data):
    if event == 18:
        count[0] += 1
handlers[:] = [received]
await connect()
await write_all([b"x" * 50] * 10)
def locked(connection):
    value = b"x" * 50
    micropython.heap_lock()
    for _ in range(50):
        while connection.writes:
            pass
        ble.gattc_write(HANDLE, WRITE, value, 0)
    while count[0] < 20:
        pass
    micropython.heap_unlock()
locked(ble._connections[HANDLE])
print("received", count[0])
await asyncio.sleep(1)
"""
    play(peripheral, central, expect(("peripheral", "received 60"), ("central", "received 20")))


def test_disconnection_is_told_with_a_full_heap(play):
    peripheral = """
handlers.clear()
def fill(connection):
    hog = []
    size = 100_000
    while size:
        try:
            hog.append(bytearray(size))
        except MemoryError:
            size //= 2
    while connection.is_connected():
        pass
connection = await advertise()
fill(connection)
print("told")
"""
    play(
        peripheral,
        "connection = await connect()\nawait asyncio.sleep_ms(500)\nawait connection.disconnect()",
        expect(("peripheral", "told")),
    )


def test_notifications_queue_without_limit(play):
    peripheral = """
connection = await advertise()
await until(lambda: happened(3))
for i in range(400):
    ble.gatts_notify(connection._conn_handle, NOTIFY, b"%06d" % i + b"z" * 200)
print("accepted")
await connection.disconnected()
"""
    central = """
got = []
def received(event, data):
    if event == 18:
        got.append(number(data[2]))
handlers.append(received)
await connect()
await write_all([b"go"])
await until(lambda: len(got) == 400)
print("all", got == list(range(400)))
"""

    async def check(a, b):
        await a.line("accepted")
        await b.line("all True")
        assert a.host.notify_queue_peak > 300

    play(peripheral, central, check)


def test_a_frozen_board_holds_back_its_peer_and_loses_nothing(play):
    peripheral = """
got = []
def received(event, data):
    if event == 3:
        got.append(number(ble.gatts_read(WRITE)))
handlers.append(received)
connection = await advertise()
await until(lambda: len(got) == 1000)
print("all", got == list(range(1000)))
await connection.disconnected()
"""
    central = """
await connect()
written = [0]
def values():
    for i in range(1000):
        written[0] = i
        yield b"%06d" % i + b"w" * 200
async def tell():
    while True:
        await asyncio.sleep_ms(100)
        print("written", written[0])
asyncio.create_task(tell())
await write_all(values())
await asyncio.sleep(10)
"""

    async def check(a, b):
        await b.line("written [1-9]")
        a.freeze()
        last = -1
        while (now := int((await b.line("written")).split()[1])) != last:
            last = now
            await asyncio.sleep(0.3)
        assert last < 500
        a.thaw()
        await a.line("all True")

    play(peripheral, central, check)


def test_connecting_to_nobody_can_be_cancelled(play):
    central = """
aioble.config(mtu=247)
device = await find()
ble.gap_connect(0, b"nobody", 2000, 7500, 15000)
await asyncio.sleep_ms(100)
print("twice", error_of(ble.gap_connect, 0, b"second"), happened(7))
ble.gap_connect(None)
await until(lambda: len(happened(7)) == 2)
print("cancelled", happened(7)[1])
for i in range(20):
    ble.gap_connect(0, b"nobody")
    await asyncio.sleep_ms(i % 4)
    ble.gap_connect(None)
    await until(lambda: len(happened(7)) == 3 + i)
connection = await connect()
print("then", connection.is_connected())
"""
    play(
        "await (await advertise()).disconnected()",
        central,
        expect(
            ("central", r"twice OSError 114 \[\(0, 0, b'second'\)\]"),
            ("central", r"cancelled \(0, 0, b'\\x00\\x00\\x00\\x00\\x00\\x00'\)"),
            ("central", "then True"),
        ),
    )


def test_advertising_begins_again_after_a_drop_unless_stopped(play):
    peripheral = """
connection = await aioble.advertise(30_000, name="A stand-in", services=[SERVICE])
await connection.disconnected()
await until(lambda: len(happened(1)) == 2)
print("connected again")
ble.gap_advertise(None)
await until(lambda: len(happened(2)) == 2)
print("alone")
await asyncio.sleep(30)
"""
    central = """
for _ in range(2):
    connection = await connect()
    await connection.disconnect()
count = 0
async with aioble.scan(1000, 30_000, 30_000, active=True) as scanner:
    async for result in scanner:
        count += 1
print("in sight", count)
"""
    play(
        peripheral,
        central,
        expect(("peripheral", "connected again"), ("peripheral", "alone"), ("central", "in sight 0")),
    )


def test_inactive_stack_and_wrong_arguments(run):
    code = (
        COMMON
        + """
print("inactive", error_of(ble.gap_scan, 0), error_of(ble.config, "mac"))
ble.active(True)
print("active", ble.active(), ble.config("mac"), ble.config("mtu"))
print("config", error_of(ble.config, "rxbuf"), error_of(lambda: ble.config(mtu=2000)))
print("values", error_of(ble.gatts_read, 99), error_of(ble.gatts_notify, None, 9))
ble.config(mtu=100)
aioble.stop()
ble.active(True)
print("stopped", ble.config("mtu"))
"""
    )

    async def scenario():
        async with Room() as room:
            board = room.board("board")
            await board.start_code(code)
            await board.line("^inactive OSError 19 OSError 19$")
            await board.line(r"^active True \(0, b'\(\\xcd\\xc1\\x00\\x00\\x01'\) 1017$")
            await board.line("^config ValueError OSError 22$")
            await board.line("^values OSError 22 TypeError$")
            await board.line("^stopped 1017$")
            assert await board.exit_code(10) == 0

    run(scenario())
