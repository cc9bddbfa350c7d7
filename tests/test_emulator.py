"""The emulated Pico: it runs real firmware, offers it to mpremote, and counts cycles that repeat."""

import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mpremote.transport import TransportExecError
from pico_firmware import write_plain_firmware
from picolink_pc import products
from picolink_pc.emulate import emulate
from picolink_pc.emulator import CYCLE_COUNTER, Emulator, EmulatorError, packages

pytestmark = pytest.mark.slow

LICENSE = Path(__file__).parents[1] / "LICENSE"

COUNT_CYCLES = f"""
from machine import mem32
import time

def loop(n):
    x = 0
    for i in range(n):
        x = (x * 3 + i) & 0xffff

counts = []
for part in (lambda: None, lambda: loop(1000), lambda: [str(i) for i in range(500)]):
    mem32[{CYCLE_COUNTER}] = 0
    part()
    counts.append(mem32[{CYCLE_COUNTER}])
print(counts)
"""


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    return write_plain_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture(scope="module")
def pico(firmware):
    with Emulator(firmware) as pico:
        yield pico


def mpremote(pico, *arguments):
    command = [sys.executable, "-m", "mpremote", "connect", pico.port, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_it_is_a_pico_that_runs_programs(pico):
    output = pico.run("import machine, sys\nprint(sys.implementation._machine, machine.freq())")
    assert output == "Raspberry Pi Pico with RP2040 125000000\n"


def test_the_traceback_of_a_program_arrives(pico):
    with pytest.raises(TransportExecError, match="ZeroDivisionError"):
        pico.run("1 / 0")


def test_mpremote_connects_to_its_port(pico):
    assert mpremote(pico, "exec", "print(6 * 7)") == "42\n"


def test_the_port_takes_one_client_at_a_time(pico):
    host, port = pico.port.removeprefix("socket://").split(":")
    with pico.raw_repl() as board, socket.create_connection((host, int(port))) as second:
        assert second.recv(1) == b""
        assert board.eval("1 + 1") == 2


def test_a_client_that_follows_another_at_once_is_served(pico):
    """On a busy machine the emulator learns of both at once: the one that left, and the next."""
    host, port = pico.port.removeprefix("socket://").split(":")
    first = socket.create_connection((host, int(port)))
    first.sendall(b"\r\x01")
    with first.makefile("rb") as answers:
        assert any(b"raw REPL" in line for line in answers)
    process = pico._process.pid
    os.kill(process, signal.SIGSTOP)
    try:
        first.close()
        second = socket.create_connection((host, int(port)))
    finally:
        os.kill(process, signal.SIGCONT)
    with second:
        second.settimeout(60)
        second.sendall(b"\r\x02")
        assert second.recv(1)


def test_much_output_arrives_whole(pico):
    lines = pico.run("for i in range(1500):\n    print('%059d' % i)").split()
    assert [int(line) for line in lines] == list(range(1500))
    assert {len(line) for line in lines} == {59}


def test_sleep_takes_the_time_that_it_says_on_the_boards_clock(pico):
    output = pico.run(
        "import time\nt = time.ticks_us()\ntime.sleep_ms(300)\nprint(time.ticks_diff(time.ticks_us(), t))"
    )
    assert 300_000 <= int(output) < 310_000


def test_cycle_counts_repeat_exactly(pico, firmware):
    first = pico.run(COUNT_CYCLES)
    with Emulator(firmware) as other:
        assert other.run(COUNT_CYCLES) == first
    empty, loop, strings = eval(first)
    assert 0 < empty < loop < strings


def test_sleep_costs_no_cycles(pico):
    program = f"""
import time
from machine import mem32
mem32[{CYCLE_COUNTER}] = 0
time.sleep_ms(200)
print(mem32[{CYCLE_COUNTER}])
"""
    assert int(pico.run(program)) < 200 * 1000


def test_the_counter_stands_still_until_it_is_let_go_as_often_as_it_was_stopped(pico):
    program = f"""
from machine import mem32
counter, stop = {CYCLE_COUNTER}, {CYCLE_COUNTER + 4}

def work():
    for i in range(1000):
        pass

mem32[counter] = 0
work()
once = mem32[counter]
mem32[counter] = 0
work()
mem32[stop] = 1
mem32[stop] = 1
first = mem32[counter]
work()
second = mem32[counter]
mem32[stop] = 0
work()
third = mem32[counter]
mem32[stop] = 0
work()
print(once, first, second, third, mem32[counter])
"""
    once, first, second, third, end = map(int, pico.run(program).split())
    assert first == second == third == pytest.approx(once, rel=0.02)
    assert end - third == pytest.approx(once, rel=0.02)


def test_samples_are_taken_while_the_counter_runs(firmware):
    program = f"""
from machine import mem32
counter, stop = {CYCLE_COUNTER}, {CYCLE_COUNTER + 4}
def work():
    for i in range(1000):
        pass
mem32[counter] = 0
work()
mem32[counter] = 0  # from here on
work()
mem32[stop] = 1
cycles = mem32[counter]
work()
print(cycles)
"""
    pico = Emulator(firmware, sample_cycles=97)
    with pico:
        cycles = int(pico.run(program))
    assert sum(count for _, _, count in pico.samples) == pytest.approx(cycles / 97, rel=0.02)


def test_rom_copies_and_fills_at_any_alignment(pico):
    program = """
source = bytes(range(1, 256))
for length in (0, 1, 3, 4, 15, 16, 17, 200):
    assert bytes(length) == b"\\0" * length
    for start in range(4):
        for end in range(4):
            target = bytearray(220)
            target[end:end + length] = source[start:start + length]
            assert target[end:end + length] == source[start:start + length]
            assert not any(target[:end]) and not any(target[end + length:])
print("ok")
"""
    assert pico.run(program) == "ok\n"


def test_rom_float_arithmetic_is_that_of_32_bits(pico):
    values = [0.0, 1.0, -1.0, 0.1, -2.5, 3.75, 1e-3, 123456.7, 1e10, -7.25]
    program = f"""
import struct
values = {values}
for a in values:
    print([struct.unpack("<I", struct.pack("<f", x))[0] for b in values
           for x in (a + b, a - b, a * b, a / (b or 2.0))])
    print(int(a), round(a), a < 1, a == 0.1)
"""
    lines = pico.run(program).splitlines()

    def bits(value):
        return struct.unpack("<I", struct.pack("<f", value))[0]

    for index, exact in enumerate(values):
        a = struct.unpack("<f", struct.pack("<f", exact))[0]
        expected = []
        for b_exact in values:
            b = struct.unpack("<f", struct.pack("<f", b_exact))[0]
            expected += [bits(a + b), bits(a - b), bits(a * b), bits(a / (b or 2.0))]
        # MicroPython drops the last two bits of a float on this board (they are its object tag).
        got = eval(lines[2 * index])
        assert all(abs(g - e) <= 8 for g, e in zip(got, expected, strict=True)), a
        integer, rounded, less, equal = lines[2 * index + 1].split()
        assert (int(integer), less, equal) == (int(a), str(a < 1), str(exact == 0.1))
        assert int(rounded) == round(exact)


def test_rom_float_functions(pico):
    output = pico.run(
        "import math\n"
        "print(math.sin(1), math.cos(1), math.tan(1), math.exp(1), math.log(10), math.sqrt(2),"
        " math.atan2(1, -1), float(10**12), int(1e12), int(-1e12))"
    )
    got = [float(word) for word in output.split()]
    expected = [f(1) for f in (math.sin, math.cos, math.tan, math.exp)]
    expected += [math.log(10), math.sqrt(2), math.atan2(1, -1), 1e12, 1e12, -1e12]
    assert got == pytest.approx(expected, rel=1e-5)


def test_a_uart_with_its_transmit_interrupt_on_does_not_stop_the_board(pico):
    program = """
from machine import UART
uart = UART(0, 115200, txbuf=64)
print(uart.write(b"x" * 200))
uart.flush()
print("ok")
"""
    assert pico.run(program) == "200\nok\n"


def test_files_survive_a_reset_and_the_end_of_the_emulator(tmp_path, firmware):
    flash = tmp_path / "flash.bin"
    with Emulator(firmware, flash=flash) as pico:
        mpremote(pico, "fs", "cp", str(LICENSE), ":LICENSE")
        mpremote(pico, "reset")
        pico.wait_for("reset")
        pico.wait_for("serial")
        assert pico.run("print(open('LICENSE').read(), end='')") == LICENSE.read_text()
    with Emulator(firmware, flash=flash) as pico:
        assert pico.run("print(open('LICENSE').read(), end='')") == LICENSE.read_text()


def test_a_watchdog_that_nobody_feeds_resets_the_board(firmware):
    with Emulator(firmware) as pico:
        with pico.raw_repl() as board:
            board.exec_raw_no_follow("import machine\nmachine.WDT(timeout=100)\nwhile True: pass")
        pico.wait_for("reset")
        pico.wait_for("serial")
        with pico.raw_repl() as board:  # asleep, too
            board.exec_raw_no_follow("import machine, time\nmachine.WDT(timeout=100)\ntime.sleep(100)")
        pico.wait_for("reset")
        pico.wait_for("serial")
        assert pico.run("print('back')") == "back\n"


def test_the_bootloader_takes_a_uf2_from_its_drive(tmp_path, firmware):
    with Emulator(firmware, drive=tmp_path) as pico:
        assert not list(tmp_path.iterdir())
        mpremote(pico, "bootloader")
        pico.wait_for("bootloader")
        part = firmware.read_bytes()[:-512]
        (tmp_path / "part.uf2").write_bytes(part)
        shutil.copy(firmware, tmp_path / "whole.uf2")
        pico.wait_for("serial")
        assert not list(tmp_path.iterdir())
        assert pico.run("print('back')") == "back\n"


def test_a_native_module_for_armv6m_loads(tmp_path, firmware):
    with Emulator(firmware, flash=tmp_path / "flash.bin") as pico:
        mpremote(pico, "fs", "cp", str(products.native_module("armv6m")), ":_picolink.mpy")
        assert pico.run("import _picolink\nprint(_picolink.Engine(1, b'identity').pending())") == "0\n"


def test_our_fast_cpu_does_what_the_emulators_own_does(firmware):
    """Every register after each of two million instructions, from power-on through a varied program."""
    program = """
import hashlib, json, math, struct

@micropython.viper
def mix(n: int) -> int:
    x = 0
    for i in range(n):
        x += i >> 1 ^ x << 1
    return x

print(mix(100), 10 ** 30 // 7 ** 9, -7 // 2, 1.5 * 3, math.sin(2), [hash(str(i)) for i in range(20)])
print(json.dumps({"a": [1, 2, {"b": None}]}), struct.pack("<hIq", -3, 7, -(1 << 40)))
print(hashlib.sha256(b"x" * 100).digest()[:4], "end")
"""
    node, main = packages.program()
    command = [node, Path(main).with_name("compare_cores.mjs"), firmware, "2000000"]
    result = subprocess.run(command, check=False, input=program, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert r"b'\t\xec\xb6\xeb' end" in result.stdout


def test_it_ends_with_its_standard_input(firmware):
    command = [*packages.program(), str(firmware)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert b"listening" in process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole UF2 file"),
        (b"x" * 512, "block 0 is not a UF2 block"),
        (None, "blocks are missing"),
    ],
)
def test_damaged_firmware_is_refused(tmp_path, firmware, content, message):
    file = tmp_path / "damaged.uf2"
    file.write_bytes(firmware.read_bytes()[:5120] if content is None else content)
    with pytest.raises(EmulatorError, match=message):
        Emulator(file).start()


def test_missing_firmware_is_named(tmp_path):
    with pytest.raises(EmulatorError, match=r"nowhere\.uf2"):
        Emulator(tmp_path / "nowhere.uf2").start()


@pytest.mark.parametrize("tool", ["node", "npm"])
def test_a_missing_tool_is_named_with_how_to_get_it(tmp_path, firmware, monkeypatch, tool):
    for other in {"node", "npm"} - {tool}:
        (tmp_path / other).symlink_to(shutil.which(other))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "FOLDER", tmp_path / "emulator")
    with pytest.raises(EmulatorError, match=rf"{tool} is not installed.*apt install nodejs npm"):
        Emulator(firmware).start()


def test_an_old_node_is_refused(tmp_path, firmware, monkeypatch):
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v16.1.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(EmulatorError, match=r"v16\.1\.0: install Node\.js 18 or newer"):
        Emulator(firmware).start()


def test_emulate_runs_a_program(tmp_path, firmware):
    script = tmp_path / "hello.py"
    script.write_text("print('hello from', 'the board')\n")
    result = CliRunner().invoke(emulate, [str(firmware), str(script)])
    assert (result.exit_code, result.stdout) == (0, "hello from the board\n")


def test_emulate_fails_with_the_program(tmp_path, firmware):
    script = tmp_path / "wrong.py"
    script.write_text("import nothing\n")
    result = CliRunner().invoke(emulate, [str(firmware), str(script)])
    assert result.exit_code == 1
    assert "ImportError: no module named 'nothing'" in result.stderr


def test_emulate_needs_a_terminal_for_a_repl(firmware):
    result = CliRunner().invoke(emulate, [str(firmware)])
    assert result.exit_code == 1
    assert result.stderr == "Error: a REPL needs a terminal: name a program to run, or use --port\n"


def test_emulate_names_what_is_missing(tmp_path):
    result = CliRunner().invoke(emulate, [str(tmp_path / "nowhere.uf2")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no firmware at")
    assert len(result.stderr.splitlines()) == 1
