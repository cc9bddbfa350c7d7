"""Emulated boards with a radio: the model of the chip, one virtual time, and what a person is told.

No firmware with a Bluetooth stack can be built from what is packaged, so programs of ours take its place:
they speak to the chip themselves, on the firmware of a plain Pico (programs/gspi.py).  No test runs an image
for the Pico W: with one at hand, `picolink demo --firmware` does.
"""

import asyncio
import dataclasses
import io
import json
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from elftools.elf.elffile import ELFFile
from pico_firmware import RP2350_ARM, uf2_blocks, write_plain_firmware
from picolink_pc import device, products
from picolink_pc.bench import cpu_firmware, logging, traffic
from picolink_pc.bench.cpu import cpu
from picolink_pc.bench.link import link
from picolink_pc.boards import BoardError, Room, play
from picolink_pc.chaos import chaos
from picolink_pc.demo import busy_percent
from picolink_pc.emulator import CYCLE_COUNTER, Emulator, EmulatorError, filesystem, packages
from picolink_pc.emulator.firmware import Firmware, read_firmware, with_picolink
from picolink_pc.emulator.symbols import Symbols
from picolink_pc.radio.air import RadioSettings
from picolink_pc.run import run
from picolink_pc.uf2 import make_rp2040, read_uf2
from rich.console import Console

pytestmark = pytest.mark.slow

PICO_W = b"Pico W with RP2040"
PICOLINK = Path(sys.executable).with_name("picolink")
UNIT_TESTS = Path(__file__).parent / "emulator"
GSPI = (Path(__file__).parent / "programs" / "gspi.py").read_text()

PERIPHERAL = """
start()
host = Hci()
host.command(0x0C03)
host.command(0x2006, bytes((0x40, 1, 0x40, 1)) + bytes(9) + b"\\x07\\0")
host.command(0x2008, bytes((7, 2, 1, 6, 3, 9)) + b"hi" + bytes(24))
host.command(0x200A, b"\\x01")
connection = host.event(0x3E, 1)[2:4]
data = host.receive()
print("got", data[9:])
host.send(b"\\x02" + connection + b"\\x05\\0\\x01\\0\\x04\\0Z")
print("completed", host.event(0x13)[3])
print("disconnected", hex(host.event(5)[3]))
"""

CENTRAL = """
start()
host = Hci()
host.command(0x0C03)
host.command(0x200B, bytes((0, 0x10, 0, 0x10, 0, 0, 0)))
host.command(0x200C, bytes((1, 1)))
report = host.event(0x3E, 2)
print("found", report[11:16])
host.command(0x200C, bytes((0, 0)))
parameters = b"\\x10\\0\\x10\\0\\0\\0" + report[4:10] + bytes((0, 12, 0, 12, 0, 4, 0, 200, 0, 0, 0, 0, 0))
host.send(b"\\x01\\x0D\\x20\\x19" + parameters)
connection = host.event(0x3E, 1)[2:4]
host.send(b"\\x02" + connection + b"\\x06\\0\\x02\\0\\x04\\0AB")
data = host.receive()
while data[0] != 2:
    data = host.receive()
print("got", data[9:])
sleep_ms(50)  # some connection events: the other side is to see that its packet is complete
host.send(b"\\x01\\x06\\x04\\x03" + connection + b"\\x13")
print("disconnected", hex(host.event(5)[3]))
"""

IDENTITY = """
import binascii, machine, os
print(binascii.hexlify(machine.unique_id()).decode(), binascii.hexlify(os.urandom(8)).decode())
"""


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    return Firmware(write_plain_firmware(tmp_path_factory.mktemp("firmware")))


def in_room(firmware, work, **settings):
    """work(room): what it returns, in virtual time."""

    async def inside():
        async with asyncio.timeout(60), Room(RadioSettings(**settings), firmware=firmware) as room:
            return await work(room)

    return play(inside(), firmware)


def output_of(firmware, program):
    """The lines that `program` prints on one board, which must not fail."""

    async def work(room):
        board = room.board("board")
        await board.start_code(program)
        assert await board.exit_code(30) == 0, board.output
        return board.output

    return in_room(firmware, work)


@pytest.mark.parametrize("tests", sorted(UNIT_TESTS.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_unit_tests_in_javascript(tests):
    node, _ = packages.program()
    result = subprocess.run([node, "--test", tests], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_words_pass_between_a_pio_program_and_the_chip(firmware):
    output = output_of(
        firmware,
        GSPI
        + """
print(hex(start()))
print(hex(read(BUS, 0)), hex(read(BUS, 0x14)), hex(get(0x18103800)))
put(0x1000, 0x12345678)
print(hex(get(0x1000)))
""",
    )
    assert output == ["0xfeedbead", "0x204b3 0xfeedbead 0x1", "0x12345678"]


def test_a_bit_takes_two_instructions_of_the_program(firmware):
    output = output_of(
        firmware,
        GSPI.replace("freq=62_500_000", "freq=62_500")
        + """
import time
power(1)
for count in (1, 33):
    machine_.active(0)
    machine_.restart()
    machine_.put(31); machine_.exec("out(x, 32)")
    machine_.put(32 * count - 1); machine_.exec("out(y, 32)")
    select(0)
    began = time.ticks_us()
    machine_.active(1)
    machine_.put(0)
    for _ in range(count):
        machine_.get()
    print(time.ticks_diff(time.ticks_us(), began))
    machine_.active(0)
    select(1)
""",
    )
    one, many = map(int, output)
    assert many - one == pytest.approx(32 * 32 * 2 * 1e6 / 62_500, rel=0.01)


def test_another_program_on_the_pio_runs_as_it_did(firmware):
    output = output_of(
        firmware,
        """
import rp2
from machine import Pin

@rp2.asm_pio(out_shiftdir=rp2.PIO.SHIFT_LEFT, autopull=True)
def count():
    out(x, 32)
    label("again")
    jmp(x_dec, "again")
    set(y, 21)
    mov(isr, y)
    push()

# On the pins of the radio chip, too.
for pin in (Pin(0), Pin(24)):
    machine = rp2.StateMachine(0, count, freq=10_000_000, out_base=pin, in_base=pin, sideset_base=Pin(29))
    machine.active(1)
    machine.put(5000)
    print(machine.get())
    machine.active(0)
""",
    )
    assert output == ["21", "21"]


def test_a_miss_of_the_flash_cache_costs_what_it_is_set_to(firmware):
    program = f"""
import rp2
from machine import mem32
def measure(step):
    mem32[{CYCLE_COUNTER}] = 0
    for address in range(0x100C0000, 0x100C0000 + 200 * step, step):
        mem32[address]
    return mem32[{CYCLE_COUNTER}]
flash = rp2.Flash()
measure(8)
near, apart = measure(8), measure(0x1000)
flash.writeblocks(flash.ioctl(4, 0) - 1, b"x", 0)
print(apart - near, measure(8) - near)
"""

    def measure(miss_cycles):
        output = output_of(dataclasses.replace(firmware, miss_cycles=miss_cycles), program)
        return [int(cycles) for cycles in output[0].split()]

    # 200 words 4 KiB apart share two sets of two lines: all are misses. In a row, most are hits, unless flash
    # was written to: that empties the cache.
    without = measure(0)
    assert without[0] == pytest.approx(0, abs=1000)
    for miss_cycles in (30, 70):
        extra = [cycles - base for cycles, base in zip(measure(miss_cycles), without, strict=True)]
        assert min(extra) > 150 * miss_cycles


def test_writing_to_flash_takes_its_time(firmware):
    output = output_of(
        firmware,
        """
import rp2, time
flash = rp2.Flash()
blocks = flash.ioctl(4, 0)
def timed(act):
    began = time.ticks_us()
    act()
    return time.ticks_diff(time.ticks_us(), began)
print(timed(lambda: flash.ioctl(6, blocks - 1)))
for pages in (1, 5):
    print(timed(lambda: flash.writeblocks(blocks - 1, bytes(256 * pages), 0)))
""",
    )
    erase, one, five = map(int, output)
    assert erase == pytest.approx(45_000, rel=0.02)
    assert five - one == pytest.approx(4 * 400, rel=0.1)


def test_a_cpu_is_busy_while_it_does_not_sleep(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code(
            "import time\nprint('sleeps')\nfor _ in range(20):\n    time.sleep_ms(10)\nprint('works')\n"
            "end = time.ticks_add(time.ticks_ms(), 150)\n"
            "while time.ticks_diff(end, time.ticks_ms()) > 0:\n    pass\nprint('end')\n"
        )
        busy = []
        for line in ("sleeps", "works"):
            await board.line(line)
            busy += await busy_percent([board], 0.1)
        return busy

    asleep, at_work = in_room(firmware, work)
    assert asleep < 10
    assert at_work == pytest.approx(100, rel=0.01)


def test_what_the_chip_does_not_know_is_told_where_the_board_prints(firmware):
    output = output_of(firmware, GSPI + "start()\nprint(get(0x18001234))\nprint('end')\n")
    assert output == ["the radio chip does not know this: a read of 4 bytes at 0x18001234", "0", "end"]


def test_two_hosts_meet_over_the_rings_of_their_chips(firmware):
    a, b, _ = meet(firmware)
    assert a == ["got b'AB'", "completed 1", "disconnected 0x13"]
    assert b == ["found b'\\x02\\x01\\x06\\x03\\t'", "got b'Z'", "disconnected 0x16"]


def meet(firmware, **settings):
    """What a peripheral and a central print, and the HCI packets of both."""
    trace = []

    async def work(room):
        loop = asyncio.get_running_loop()
        room.radio.tap = lambda who, packet, to_host: trace.append((loop.now_ns, who.name, to_host, packet))
        boards = [room.board(name) for name in ("a", "b")]
        for board, program in zip(boards, (PERIPHERAL, CENTRAL), strict=True):
            await board.start_code(GSPI + program)
        assert await asyncio.gather(*(board.exit_code(40) for board in boards)) == [0, 0], boards[1].output
        assert not boards[0].problems + boards[1].problems
        return [board.output for board in boards]

    return *in_room(firmware, work, **settings), trace


def test_the_same_seed_gives_the_same_run_to_the_byte(firmware):
    *_, first = meet(firmware, seed=3)
    assert meet(firmware, seed=3)[2] == first
    assert meet(firmware, seed=4)[2] != first


def test_boards_have_numbers_of_their_own_and_draw_others_after_each_start(firmware):
    async def work(room):
        told = []
        for board in [room.board(name) for name in ("a", "b")]:
            for _ in range(2):
                await board.start_code(IDENTITY)
                assert await board.exit_code(30) == 0
            told.append([line.split() for line in board.output])
        return told

    first = in_room(firmware, work)
    assert in_room(firmware, work) == first
    identities = [{identity for identity, _ in board} for board in first]
    assert all(len(identity) == 1 for identity in identities)
    assert identities[0] != identities[1]
    assert len({drawn for board in first for _, drawn in board}) == 4


def test_a_board_without_power_says_nothing_on_the_air(firmware):
    async def work(room):
        loop = asyncio.get_running_loop()
        board = room.board("board")
        await board.start_code(GSPI + "start()\nHci().command(0x0C03)\nprint('up')\nwhile True: pass\n")
        await board.line("up")
        up = len(room.radio.controllers)
        await board.kill()
        assert (up, len(room.radio.controllers), board.running) == (1, 0, False)
        # It takes no time to be off.
        before = loop.time()
        await asyncio.sleep(30)
        return loop.time() - before

    assert in_room(firmware, work) == pytest.approx(30)


def test_a_frozen_board_goes_on_where_it_was(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code("n = 0\nwhile n < 10_000_000:\n    print(n)\n    n += 1\n")
        await board.line("^20$")
        board.freeze()
        await asyncio.sleep(0.001)
        printed = len(board.output)
        await asyncio.sleep(1)
        assert len(board.output) == printed
        board.thaw()
        await board.line(f"^{printed + 100}$")
        return [int(line) for line in board.output]

    lines = in_room(firmware, work)
    assert lines == list(range(len(lines)))


def test_a_reset_is_told_and_the_radio_goes_with_it(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code(GSPI + "import machine\nstart()\nprint('up')\nsleep_ms(50)\nmachine.reset()\n")
        await board.line("up")
        up = len(room.radio.controllers)
        return await board.exit_code(10), board.output[-1], up, len(room.radio.controllers)

    assert in_room(firmware, work) == (1, "(the program has reset the board)", 1, 0)


def test_the_traceback_of_a_program_is_printed_and_it_has_failed(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code("print('before')\n1 / 0\n")
        return await board.exit_code(30), board.output

    code, output = in_room(firmware, work)
    assert code == 1
    assert output[0] == "before"
    assert output[-1] == "ZeroDivisionError: divide by zero"


def made_up(tmp_path, firmware, *texts):
    """A UF2 file with these texts behind the firmware of a plain Pico."""
    ranges = [*read_uf2(firmware.path).ranges(), (0x10090000, b"\0".join(texts))]
    file = tmp_path / "made_up.uf2"
    file.write_bytes(make_rp2040(ranges))
    return file


def test_run_shows_what_emulated_boards_print(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    hello, wrong = tmp_path / "hello.py", tmp_path / "wrong.py"
    hello.write_text("print('hello from', 'the board')\n")
    wrong.write_text("import nothing\n")
    result = CliRunner().invoke(run, ["--firmware", str(file), str(hello)])
    assert (result.exit_code, result.stdout) == (0, "hello  hello from the board\n")
    result = CliRunner().invoke(run, ["--firmware", str(file), str(hello), str(wrong)])
    assert result.exit_code == 1
    assert "wrong  ImportError: no module named 'nothing'\n" in result.stdout


def test_run_is_told_what_a_miss_of_the_flash_cache_costs(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    program = tmp_path / "cycles.py"
    program.write_text(f"from machine import mem32\nprint(mem32[{CYCLE_COUNTER}])\n")

    def cycles(*options):
        result = CliRunner().invoke(run, ["--firmware", str(file), *options, str(program)])
        return int(result.stdout.split()[1])

    without, usual, much = cycles("--miss-cycles", "0"), cycles(), cycles("--miss-cycles", "100")
    assert without < usual < much


def test_run_takes_one_kind_of_board(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    arguments = ["--firmware", str(file), "--aioble", str(tmp_path), __file__]
    result = CliRunner().invoke(run, arguments)
    assert result.exit_code == 2
    assert "--firmware has a Bluetooth stack and aioble inside" in result.stderr


def test_firmware_says_what_it_is(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    assert read_firmware(file) == Firmware(file, None, has_picolink=True)
    file = made_up(tmp_path, firmware, PICO_W, b"aioble/__init__.py")
    assert read_firmware(file) == Firmware(file, None, has_picolink=False)


def test_stock_firmware_gets_picolink_on_its_filesystem(firmware, monkeypatch):
    monkeypatch.setattr(filesystem, "PICO_W_BYTES", filesystem.PICO_BYTES)
    stock = with_picolink(dataclasses.replace(firmware, has_picolink=False))
    program = "import picolink.engine\nprint(picolink.__file__, picolink.engine.load()[1])\n"
    assert output_of(stock, program) == ["/lib/picolink/__init__.mpy native"]
    assert with_picolink(firmware) is firmware


def test_firmware_of_a_pico_that_names_the_pico_w_is_none_for_it():
    with pytest.raises(EmulatorError, match="is not MicroPython for a Pico W"):
        read_firmware(products.firmware("RPI_PICO"))


def test_firmware_that_the_emulator_cannot_run_is_refused(tmp_path, firmware):
    for file, message in (
        (firmware.path, "plain.uf2 is not MicroPython for a Pico W; the emulator has no other radio"),
        (made_up(tmp_path, firmware, PICO_W), "has no aioble inside"),
        (tmp_path / "nowhere.uf2", r"cannot read .*nowhere\.uf2: No such file or directory"),
        (Path(__file__), r"test_pico_w\.py is not a UF2 file"),
    ):
        with pytest.raises(EmulatorError, match=message):
            read_firmware(file)
    other = tmp_path / "other.uf2"
    other.write_bytes(b"".join(uf2_blocks(b"Pico 2 W", RP2350_ARM)))
    with pytest.raises(EmulatorError, match=r"is for an RP2350: the emulator has an RP2040, one core of it"):
        read_firmware(other)


def test_an_elf_file_is_what_it_puts_into_flash(tmp_path):
    code, data = PICO_W + b"\0picolink/__init__.py\0" + bytes(500), b"data"
    segments = [
        (1, 0x10000, 0x10000000, 0x10000000, code),  # loaded where it is
        (1, 0x20000, 0x20000000, 0x10004000, data),  # copied to RAM when the program starts
        (1, 0x30000, 0x20001000, 0x20001000, b""),  # zeros, in RAM
        (4, 0x30000, 0x10006000, 0x10006000, b"note"),
    ]
    content = bytearray(0x30100)
    struct.pack_into("<16s2H5I6H", content, 0, b"\x7fELF\x01\x01", 2, 40, 1, 0, 52, 0, 0, 52, 32, 4, 0, 0, 0)
    for number, (kind, offset, address, load_address, part) in enumerate(segments):
        content[offset : offset + len(part)] = part
        header = (kind, offset, address, load_address, len(part), len(part), 5, 4)
        struct.pack_into("<8I", content, 52 + 32 * number, *header)
    elf = tmp_path / "made_up.elf"
    elf.write_bytes(content)
    found = read_firmware(elf)
    assert found.elf == elf
    assert read_uf2(found.path).ranges() == [(0x10000000, code), (0x10004000, data)]
    elf.write_bytes(content[:60])
    with pytest.raises(EmulatorError, match="damaged"):
        read_firmware(elf)


def test_firmware_that_is_not_there_is_named(tmp_path):
    async def work(room):
        room.board("board")

    with pytest.raises(EmulatorError, match=r"nowhere\.uf2"):
        in_room(Firmware(tmp_path / "nowhere.uf2"), work)


def test_an_emulator_that_stops_says_why(tmp_path):
    damaged = tmp_path / "damaged.uf2"
    damaged.write_bytes(b"x" * 512)

    async def work(room):
        board = room.board("board")
        await board.start_code("pass")
        return await board.exit_code(30), board.output

    code, output = in_room(Firmware(damaged), work)
    assert code == 1
    assert output[0].startswith("the emulated board stopped: ")
    assert output[0].endswith("damaged.uf2: block 0 is not a UF2 block")


def test_a_program_that_starts_the_second_core_is_told_that_there_is_none(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code("import _thread\n_thread.start_new_thread(print, ())\nprint('started')\n")
        return await board.exit_code(10), board.output

    code, output = in_room(firmware, work)
    assert code == 1
    (line,) = output
    assert line.startswith("the emulated board stopped: the program starts the second core (_thread)")


def test_firmware_that_never_gets_to_its_repl_is_named(tmp_path, firmware, monkeypatch):
    monkeypatch.setattr("picolink_pc.emulated_boards._START_S", 2)
    content = bytearray(firmware.path.read_bytes())
    content[32 + 512 * 2 : 32 + 512 * 2 + 256] = b"\xfe\xe7" * 128  # "b .", where the firmware begins
    stuck = tmp_path / "stuck.uf2"
    stuck.write_bytes(content)

    async def work(room):
        board = room.board("board")
        await board.start_code("pass")
        with pytest.raises(
            BoardError, match=r"board: ended without 'x'; it printed:\n *board does not start"
        ):
            await board.line("x", timeout=50)

    in_room(Firmware(stuck), work)


def test_modules_beside_a_program_are_there_and_boards_agree_on_the_time(tmp_path, firmware):
    (tmp_path / "clock.py").write_text(
        "import time\nCLOCK_OFFSET_US = 0\n"
        "def now_us():\n    return time.time_ns() // 1000 + CLOCK_OFFSET_US\n"
    )
    program = tmp_path / "program.py"
    program.write_text("import clock\nprint(clock.now_us())\n")

    async def work(room):
        loop = asyncio.get_running_loop()
        late_us = []
        for name in ("a", "b"):
            board = room.board(name)
            await board.start(program)
            told_us = int(await board.line("^[0-9]+$"))
            late_us.append(loop.time() * 1e6 - told_us)
            await asyncio.sleep(3)
        return late_us

    first, second = in_room(firmware, work)
    assert 0 < first < 5000  # what was printed has to come over USB
    assert second == pytest.approx(first, abs=1100)  # a frame of USB


def test_a_program_is_told_that_a_line_was_typed(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code(
            "import select, sys\ntyped = select.poll()\ntyped.register(sys.stdin, select.POLLIN)\n"
            "print(len(typed.poll(0)))\ntyped.poll()\nprint(input())\n"
        )
        await board.line("^0$")
        board.type("hello")
        await board.line("^hello$", timeout=5)

    in_room(firmware, work)


def test_a_benchmark_counts_what_emulated_boards_carry(tmp_path, firmware, monkeypatch):
    # A plain Pico has no radio: two boards that count for themselves.
    (tmp_path / "alone.py").write_text(
        "import json, sys, traffic\n"
        "role, _, size, step = sys.argv[1:]\n"
        "now = traffic.now_us()\n"
        "print('sent 0', json.dumps({'count': 3, 'us': 1_000_000}))\n"
        "counts = {'received': 3, 'wrong': 0, 'first_us': now, 'last_us': now + 500_000}\n"
        "print('received 0', json.dumps(counts))\n"
        "print('latency 0 [1000, 2000, 3000]')\n"
        "print('stats', json.dumps({'size': int(size)}))\n"
    )
    (tmp_path / "traffic.py").write_text((traffic._PROGRAMS / "traffic.py").read_text())
    monkeypatch.setattr(traffic, "_PROGRAMS", tmp_path)
    stack = traffic.Stack(firmware=firmware)
    run_it = traffic.run(RadioSettings(), stack, "alone.py", "native", 18, [traffic.Step("both", 1)])
    found = play(run_it, firmware)
    assert [way.delivered for way in found.steps[0]] == [4, 4]
    assert (found.stats, found.late_events) == ([{"size": 18}] * 2, None)


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        (link, ("--port", "a", "--port", "b"), "--port is for real boards"),
        (chaos, (), "--firmware is only for --boards and --files"),
        (chaos, ("--boards", "--pc"), "give --pc or --firmware"),
    ],
)
def test_what_does_not_go_with_firmware_is_said(tmp_path, firmware, command, arguments, complaint):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    result = CliRunner().invoke(command, [*arguments, "--firmware", str(file)])
    assert result.exit_code == 2
    assert complaint in result.output


def test_the_cpu_benchmark_tells_how_busy_boards_are_with_all_that_runs_on_them(
    tmp_path, firmware, monkeypatch
):
    # A plain Pico has no radio: one board works all the time, the other one half of it.
    program = tmp_path / "half.py"
    program.write_text(
        "import sys, time\n"
        "role = sys.argv[1]\n"
        'print(\'open {"ms": 7, "up_ms": 8, "free": 9, "free_open": 10}\')\n'
        "print('start {}')\n"
        "end = time.ticks_add(time.ticks_ms(), 250)\n"
        "while time.ticks_diff(end, time.ticks_ms()) > 0:\n"
        "    if role == 'central':\n"
        "        time.sleep_ms(10)\n"
        "        work = time.ticks_add(time.ticks_ms(), 10)\n"
        "        while time.ticks_diff(work, time.ticks_ms()) > 0:\n"
        "            pass\n"
        'print(\'end {"received": 50, "us": 250000}\')\n'
    )
    monkeypatch.setattr(cpu_firmware, "_PROGRAM", program)
    monkeypatch.setattr(cpu_firmware, "_MS", 200)
    console = Console(file=io.StringIO(), width=200)
    cpu, link = cpu_firmware.measure(
        console, firmware, RadioSettings(), [("native", "send", None), ("native", None, None)]
    )
    (cpu_s,) = re.findall(r"s on the boards took \d+ s here, and (\d+) s of its CPU", console.file.getvalue())
    assert int(cpu_s) > 0
    row = cpu.rows[0]
    assert (row["sender"], row["reader"], row["rate"]) == ("send", "nothing", 200)
    assert row["peripheral"] == pytest.approx(100, abs=2)
    assert row["central"] == pytest.approx(50, abs=8)
    assert 0 < row["misses"] < row["central"]
    assert row["cycles"] == pytest.approx(row["central"] / 100 * 125e6 / 200)
    assert link.rows == [{"engine": "native", "ms": 7, "up_ms": 8, "free": 9, "free_open": 10}]


def test_the_cpu_benchmark_compares_what_messages_go_through(tmp_path, firmware, monkeypatch):
    # Without a radio: boards that work 20 ms of 100 without messages, and 40 with them.
    program = tmp_path / "peers.py"
    program.write_text(
        "import sys, time\n"
        "_, through, period, ms = sys.argv[1:]\n"
        "busy = 40 if int(period) else 20\n"
        "print('open {}')\n"
        "print('start {}')\n"
        "for _ in range(3):\n"
        "    work = time.ticks_add(time.ticks_ms(), busy)\n"
        "    while time.ticks_diff(work, time.ticks_ms()) > 0:\n"
        "        pass\n"
        "    time.sleep_ms(100 - busy)\n"
        "count = 10 if int(period) else 0\n"
        'print(\'end {"sent": %d, "received": %d, "us": %d000}\' % (count, count, int(ms)))\n'
    )
    monkeypatch.setattr(cpu_firmware, "_PEERS", program)
    monkeypatch.setattr(cpu_firmware, "_MS", 200)
    monkeypatch.setattr(cpu_firmware, "THROUGH", {"frame": "a frame by hand on aioble"})
    monkeypatch.setattr(cpu_firmware, "_PERIODS_MS", (0, 20))
    found = cpu_firmware.measure_peers(Console(quiet=True), firmware, RadioSettings())
    idle, busy = found.rows
    assert (idle["through"], idle["sent"], idle["peripheral_cycles"]) == (
        "a frame by hand on aioble",
        0,
        None,
    )
    assert idle["central"] == pytest.approx(20, abs=2)
    assert busy["central"] == pytest.approx(40, abs=2)
    assert (busy["sent"], busy["received"]) == (50, 50)
    assert busy["central_cycles"] == pytest.approx(20 / 100 * 125e6 / 50, rel=0.2)


SCAN = """
start()
host = Hci()
host.command(0x0C03)
host.command(0x200B, bytes((1, 0x10, 0, 0x10, 0, 0, 0)))
host.command(0x200C, bytes((1, 0)))
while b"PicoA" not in host.event(0x3E, 2):
    pass
print("found PicoA")
"""

ADVERTISE = """
import asyncio, picolink
async def main():
    async with picolink.advertise("PicoA"):
        await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_an_emulated_pico_w_on_a_serial_port_finds_a_virtual_board(tmp_path, firmware, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where open radios are found
    file = made_up(tmp_path, firmware, PICO_W, b"aioble/__init__.py")
    program = tmp_path / "pico_a.py"
    program.write_text(ADVERTISE)
    capture = tmp_path / "air.btsnoop"
    with Emulator(file, radio=True, programs=(program,), capture=capture) as pico:
        assert pico.run(GSPI + SCAN) == "found PicoA\n"
        scan = [PICOLINK, "scan", "--radio", "virtual", "--seconds", "2"]
        assert "PicoA" in subprocess.run(scan, check=True, capture_output=True, text=True).stdout
        with pico.raw_repl() as board:
            board.exec_raw_no_follow("import machine; machine.reset()")
            pico.wait_for("reset")
        pico.wait_for("serial")
        assert pico.run("print(1)") == "1\n"  # after a reset the port is there again
    captured = (tmp_path / "air-Pico-W.btsnoop").read_bytes()
    assert captured.startswith(b"btsnoop\0")
    assert b"PicoA" in captured  # what the radio has told the emulated board's host
    assert (tmp_path / "air-pico_a.btsnoop").exists()


def test_a_pair_of_emulated_pico_ws_on_serial_ports_meets(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"aioble/__init__.py")
    with Emulator(file, radio=True, pair=True) as pico, ThreadPoolExecutor() as threads:
        programs = zip(pico.ports, (PERIPHERAL, CENTRAL), strict=True)
        peripheral, central = (run.result() for run in [threads.submit(on_port, *each) for each in programs])
    assert peripheral.splitlines()[0] == "got b'AB'"
    assert "got b'Z'" in central.splitlines()


def on_port(port, program):
    with device.connect(port) as board:
        return device.run(board, GSPI + program)


def test_emulate_runs_a_program_on_a_pico_w_and_wants_one_for_virtual_boards(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"aioble/__init__.py")
    script = tmp_path / "script.py"
    script.write_text(GSPI + "print(hex(start()))\n")  # only a Pico W's chip answers
    command = [PICOLINK, "emulate", file, script]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "0xfeedbead\n"
    for option, *value in (("--with", script), ("--capture", tmp_path / "air"), ("--pair",)):
        command = [PICOLINK, "emulate", firmware.path, script, option, *value]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (result.returncode, f"{option} needs firmware for a Pico W" in result.stderr) == (2, True)


def test_where_the_cpu_is_can_be_sampled(firmware):
    async def work(room):
        board = room.board("board")
        await board.start_code(
            "import time\nprint('sleeps')\ntime.sleep(1)\nprint('works')\nwhile True: pass\n"
        )
        await board.line("sleeps")
        await asyncio.sleep(0.5)
        asleep = board.process.samples.copy()
        await board.line("works")
        before, cycles = board.process.samples.copy(), board.process.cycles
        await asyncio.sleep(0.2)
        return asleep, board.process.samples - before, board.process.cycles - cycles

    asleep, at_work, cycles = in_room(dataclasses.replace(firmware, sample_cycles=5003), work)
    assert asleep.total() > 0  # it has started before
    assert at_work.total() == pytest.approx(cycles / 5003, rel=0.05)
    assert all(0x10000000 <= address < 0x10200000 or address >> 28 in (0, 2) for address in at_work)
    assert len(at_work) > 3


def test_functions_have_the_names_that_another_reader_of_elf_files_gives_them():
    path = products.firmware("RPI_PICO").parent / "RPI_PICO" / "with_picolink" / "firmware.elf"
    symbols = Symbols(path)
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        functions = [each for each in table.iter_symbols() if each["st_info"]["type"] == "STT_FUNC"]
        named = {}
        for each in functions:
            named.setdefault(each["st_value"] & ~1, set()).add(each.name)
    assert len(named) > 1000
    for address, names in named.items():
        assert symbols.function(address) in names
        assert symbols.function(address + 1) in names
    assert symbols.function(0) == "?"


def test_a_profile_wants_names(tmp_path, firmware):
    file = made_up(tmp_path, firmware, PICO_W, b"picolink/__init__.py")
    result = CliRunner().invoke(cpu, ["--profile", "--firmware", str(file)])
    assert (result.exit_code, "--profile needs" in result.output) == (2, True)


def test_logging_to_flash_needs_boards_with_flash():
    outcome = CliRunner().invoke(logging.logging, [])
    assert outcome.exit_code == 2
    assert "virtual boards have no flash" in outcome.output


def test_a_board_that_logs_loses_no_message(firmware, monkeypatch, tmp_path):
    """Virtual boards stand for those of the firmware: what is run, and the table."""
    monkeypatch.setattr(logging, "_SECONDS", 0.5)
    monkeypatch.setattr(logging, "_EVERY_MS", (0, 100))
    monkeypatch.setattr(logging, "Stack", lambda **_: traffic.Stack())
    monkeypatch.setattr(logging, "play", lambda work, _firmware: asyncio.run(work))
    file = made_up(tmp_path, firmware, PICO_W, b"aioble/__init__.py")
    outcome = CliRunner().invoke(logging.logging, ["--firmware", str(file), "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    rows = json.loads((tmp_path / "logging-firmware.json").read_text())["rows"]
    assert [(row["every"], row["lost"], row["drops"]) for row in rows] == [(None, 0, 0), (100, 0, 0)]
