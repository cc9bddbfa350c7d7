"""What `picolink run` does beside running programs: keys, input(), pins, failures told at once."""

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from picolink_pc import board_parts
from picolink_pc.boards import INTERPRETERS, Room
from picolink_pc.run_session import Session

pytestmark = pytest.mark.slow

PICOLINK = Path(sys.executable).with_name("picolink")
EXAMPLES = Path(__file__).parents[1] / "examples"

PARTS = """
from machine import Pin, Signal, Timer
led = Pin("LED", Pin.OUT)
led.on()
led.value(1)
Pin("LED").toggle()
pin = Pin(15, Pin.OUT, value=1)
Signal(pin, invert=True).on()
print(pin(), Pin("GP15").value(), Pin(14, Pin.IN, Pin.PULL_UP).value(), Pin(13, Pin.IN).value())
for wrong in (30, "GP30"):
    try:
        Pin(wrong)
    except ValueError as error:
        print(error)
"""

TIMERS = """
from machine import Timer
import time
fired = []
Timer().init(period=20, mode=Timer.ONE_SHOT, callback=lambda timer: fired.append("once"))
Timer(period=600_000, callback=lambda timer: fired.append("not yet"))
early = []
stopped = Timer(freq=100, callback=early.append)
stopped.deinit()
before = len(early)
count = 0
def tick(timer):
    global count
    count += 1
    if count == 5:
        timer.deinit()
        fired.append("five")
Timer(period=10, mode=Timer.PERIODIC, callback=tick)
while "five" not in fired or "once" not in fired:  # a busy loop is interrupted
    pass
time.sleep_ms(200)
print(count, sorted(fired), len(early) == before)
"""

ASKING = """
name = input("Name? ")
print("hello", name)
try:
    while True:
        print("and", input())
except EOFError:
    print("no more")
"""

WAITING = """
import sys
print("waiting")
for line in sys.stdin:
    print("read", line.strip())
"""


@pytest.fixture(params=INTERPRETERS)
def interpreter(request):
    return request.param


def write(folder, **programs):
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text)
    return [folder / f"{name}.py" for name in programs]


def picolink_run(*arguments, typed=None):
    stdin = {"stdin": subprocess.DEVNULL} if typed is None else {"input": typed}
    command = [PICOLINK, "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **stdin)


def test_pins_print_their_changes(tmp_path, interpreter):
    done = picolink_run("--boards", interpreter, *write(tmp_path, parts=PARTS))
    assert done.stdout.splitlines()[-7:] == [
        "parts  [LED on]",
        "parts  [LED off]",
        "parts  [GP15 on]",
        "parts  [GP15 off]",
        "parts  0 0 1 0",
        "parts  invalid pin",
        "parts  unknown named pin: GP30",
    ]
    assert done.returncode == 0


def test_timers_interrupt_the_program(tmp_path, interpreter):
    done = picolink_run("--boards", interpreter, *write(tmp_path, timers=TIMERS))
    assert done.stdout.splitlines()[-1] == "timers  5 ['five', 'once'] True", done.stdout


def test_a_script_types_to_the_chosen_board(tmp_path, interpreter):
    typed = "Ann\n::colon\n:b\nBob\n:nowhere\nlast"
    done = picolink_run("--boards", interpreter, "--stdin", *write(tmp_path, a=ASKING, b=ASKING), typed=typed)
    for expected in ("a  .*hello Ann", "a  .*and :colon", "a  .*no more", "b  .*hello Bob", "b  .*and last"):
        assert re.search(f"^{expected}$", done.stdout, re.MULTILINE), done.stdout
    assert "Your lines now go to b.\n" in done.stderr
    assert "There is no :nowhere; there is: :restart, :off, :away, :back, :quit, :a, :b.\n" in done.stderr
    assert done.returncode == 0


def test_without_a_terminal_and_without_stdin_input_is_at_its_end(tmp_path, interpreter):
    done = picolink_run("--boards", interpreter, *write(tmp_path, a="input()\n"), typed="not for it\n")
    assert "EOFError" in done.stdout
    assert done.returncode == 1


def test_one_that_fails_leaves_the_others_running_and_is_told_of_at_once(tmp_path, interpreter):
    failing = "import time\ntime.sleep(0.3)\n1 / 0\n"
    programs = write(tmp_path, bad=failing, good=WAITING)
    command = [PICOLINK, "run", "--boards", interpreter, "--stdin", *programs]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        for line in process.stderr:  # its failure comes while the other one goes on: it waits for this test
            if "has failed" in line:
                break
        assert line == "bad has failed: exit code 1; good still running.\n"
        process.stdin.write(":good\nstill there\n")
        process.stdin.close()
        output = process.stdout.read()
        assert process.wait(30) == 1
    assert "bad  ZeroDivisionError" in output
    assert "good  read still there" in output
    assert "cpython_board" not in output  # the traceback is that of the program


def test_keys_restart_switch_off_and_move_boards(run):
    told = []

    async def scenario():
        async with Room() as room:
            boards = [room.board(name) for name in ("pico_a", "pico_b")]
            programs = [EXAMPLES / "pico_a.py", EXAMPLES / "pico_b.py"]
            a, b = boards
            async with Session(room, boards, programs, told.append) as session:
                await session.start(False)
                ending = asyncio.create_task(session.wait(None))
                await b.line("received")
                await session.take(":away pico_b")
                await a.line("disconnected", 60)
                await session.take(":back pico_b")
                await a.line("connected", 60)
                await session.take(":away")
                await b.line("disconnected", 60)
                await session.take(":back")
                await b.line("connected", 60)
                await session.take(":off pico_a")
                assert not a.running
                await b.line("disconnected", 60)
                await session.take(":restart pico_a")
                await a.line("connected", 60)
                assert not ending.done()
                await session.take(":quit")
                await ending
                assert session.exit_code == 0

    run(scenario())
    assert told == [
        "pico_b is out of range.",
        "pico_b is in range again.",
        "All out of range of each other.",
        "All in range again.",
        "pico_a is off.",
        "pico_a was restarted.",
    ]


def test_a_board_restarts_when_its_program_changes_and_the_other_keeps_its_link(run, tmp_path):
    told = []
    program = tmp_path / "b.py"
    source = (EXAMPLES / "pico_b.py").read_text()

    def save(text):
        new = tmp_path / "new"
        new.write_text(text)
        new.replace(program)  # as editors do

    async def restarted(times):
        async with asyncio.timeout(30):
            while told.count("b was restarted.") < times:
                await asyncio.sleep(0.02)

    async def scenario():
        async with Room() as room:
            a, b = boards = [room.board("a"), room.board("b")]
            save(source)
            programs = [EXAMPLES / "pico_a.py", program]
            async with Session(room, boards, programs, told.append) as session:
                await session.start(False, watch=True)
                ending = asyncio.create_task(session.wait(None))
                await a.line("received: Hello from Pico B!")
                program.touch()
                await restarted(1)
                await b.line("received")
                save("print('ends at once')")
                await restarted(2)
                await b.line("ends at once")
                save("this is no program")
                await restarted(3)
                await b.line("SyntaxError")
                save(source.replace("Hello from", "New words of"))
                await a.line("peer restarted", 60)
                await a.line("received: New words of Pico B!")
                assert a.running
                assert not ending.done()
                await session.take(":off b")
                save("print('not now')")
                await a.line("disconnected", 60)
                assert not b.running
                await session.take(":restart b")
                await b.line("not now")
                await session.take(":quit")
                await ending
                assert session.exit_code == 1

    run(scenario())
    changes = [line for line in told if "failed" not in line]
    assert changes == [
        *["b.py has changed.", "b was restarted."] * 4,
        "b is off.",
        "b.py has changed.",
        "b was restarted.",
    ]


def test_only_the_board_that_is_away_is_out_of_range(run):
    async def scenario():
        async with Room() as room:
            a, b, c = (room.radio.add_controller(name, f"F0:00:00:00:00:0{name}") for name in "ABC")
            room.radio.set_away("A", True)
            assert [room.radio.reach(*pair) for pair in ((a, b), (c, a), (b, c))] == [False, False, True]
            room.radio.in_range = False
            room.radio.set_away("A", False)
            assert not room.radio.reach(a, b)
            room.radio.in_range = True
            assert room.radio.reach(a, b)

    run(scenario())


def test_a_board_that_was_switched_off_can_be_switched_on_until_input_ends(tmp_path):
    programs = write(tmp_path, a=WAITING)
    command = [PICOLINK, "run", "--stdin", *programs]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, bufsize=1) as process:
        assert process.stdout.readline() == "a  waiting\n"
        process.stdin.write(":off\n")
        while process.stderr.readline() != "a is off.\n":
            pass
        process.stdin.write(":restart\n")
        assert process.stdout.readline() == "a  waiting\n"
        process.stdin.write(":off\n")
        process.stdin.close()
        assert process.wait(30) == 0


class Terminal:
    """`picolink run` on a terminal of so many columns."""

    def __init__(self, *arguments, columns=80, **environment):
        self.process_id, self._fd = pty.fork()
        if not self.process_id and arguments[0] == "bash":
            os.execvp("bash", arguments)
        if not self.process_id:
            kept = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
            kept |= {"TERM": "xterm-256color", "COLUMNS": str(columns)} | environment
            os.execve(PICOLINK, [str(PICOLINK), *map(str, arguments)], kept)
        self.text = ""

    def type(self, text):
        os.write(self._fd, text.encode())

    def wait_for(self, pattern, seconds=30):
        while not re.search(pattern, self.text, re.MULTILINE):
            assert select.select([self._fd], [], [], seconds)[0], self.text
            try:
                more = os.read(self._fd, 4096)
            except OSError:
                raise AssertionError(self.text) from None
            self.text += more.decode().replace("\r\n", "\n")

    def end(self):
        """Its exit code, when it ends."""
        while True:
            try:
                more = os.read(self._fd, 4096)
            except OSError:
                break
            if not more:
                break
            self.text += more.decode().replace("\r\n", "\n")
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.process_id, 0)[1])


@pytest.mark.usefixtures("ctrl_c")
def test_on_a_terminal_the_keys_are_shown_and_what_is_typed_goes_to_the_board(tmp_path):
    terminal = Terminal("run", *write(tmp_path, ask=ASKING, other=WAITING))
    terminal.wait_for("Lines that you type go to input")
    terminal.wait_for(r"Commands: :restart .*:quit")
    terminal.wait_for(r"Name\?")  # a prompt has no end of line
    terminal.type("Ann\n")
    terminal.wait_for("hello Ann")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert "The boards are off." in terminal.text
    assert "Fatal" not in terminal.text  # of a thread that waits for a line while Python ends


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_hide_that_a_program_failed(tmp_path):
    terminal = Terminal("run", *write(tmp_path, bad="raise SystemExit(3)\n", good=WAITING))
    terminal.wait_for("bad has failed: exit code 3; good still running")
    os.kill(terminal.process_id, signal.SIGINT)
    assert terminal.end() == 3


def test_in_a_shells_background_it_does_not_stop_to_read(tmp_path):
    (program,) = write(tmp_path, quick="print('done')\n")
    terminal = Terminal("bash", "-c", f"set -m; {PICOLINK} run {program} & wait $!; echo ended: $?")
    terminal.wait_for("^ended: 0$")
    assert "quick" in terminal.text
    assert "Lines that you type" not in terminal.text
    terminal.end()


def test_no_color_and_narrow_terminals(tmp_path):
    long = "a line that is much longer than this terminal is wide, " * 2
    program = write(tmp_path, long=f"print({long!r})\n")
    coloured = Terminal("run", *program, columns=30)
    assert coloured.end() == 0
    assert "\x1b[36mlong" in coloured.text
    plain = Terminal("run", *program, columns=30, NO_COLOR="1")
    assert plain.end() == 0
    assert not re.search("\x1b\\[[0-9;]*3[0-7]", plain.text)
    assert long.strip() in plain.text  # as one line: whoever copies it gets it whole
    piped = picolink_run(*program)
    assert "\x1b" not in piped.stdout + piped.stderr


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from machine import Pin, Timer, WDT, Signal\nimport machine\nmachine.Pin(1)", []),
        ("from machine import Pin, PWM, ADC", ["machine.PWM", "machine.ADC"]),
        ("import machine\nservo = machine.PWM(machine.Pin(1))", ["machine.PWM"]),
        ("import network, neopixel\nfrom rp2 import PIO", ["network", "neopixel", "rp2"]),
        ("other.PWM()\nfrom mine import PWM", []),
        ("this is no Python", []),
    ],
)
def test_what_a_virtual_board_has_not_is_found_in_the_program(source, missing):
    assert sorted(board_parts.missing(source)) == sorted(missing)


def test_what_a_virtual_board_has_not_is_said_before_it_runs(tmp_path):
    done = picolink_run(*write(tmp_path, servo="from machine import PWM\n"))
    assert "servo uses what virtual boards lack: machine.PWM. Of machine they have Pin, " in done.stderr


def test_emulated_boards_have_no_keys():
    done = picolink_run("--stdin", "--firmware", "x.uf2", EXAMPLES / "pico_a.py", typed="")
    assert done.returncode in (1, 2)
