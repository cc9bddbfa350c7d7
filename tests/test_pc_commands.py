"""`picolink scan`, `send`, `chat`, `monitor` on the virtual radio of a `picolink run`; screens in a pty."""

import contextlib
import importlib.util
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink import __version__
from picolink import key as keys
from picolink_pc.terminal.send import send
from picolink_pc.terminal.visit import Reason

pytestmark = pytest.mark.slow

PICOLINK = Path(sys.executable).with_name("picolink")
LIMIT_S = 60

# Sends numbers on two channels, and an answer to each message.
TALKER = """
import asyncio
import picolink

async def talk(link):
    number = 0
    while True:
        await link.send("n %d" % number, number & 1)
        number += 1
        await asyncio.sleep_ms(PAUSE)

async def main():
    async with picolink.advertise("NAME", key=KEY) as link:
        talking = asyncio.create_task(talk(link))
        async for message in link:
            print("got", message)
            await link.send("answer to " + message, 3)
            if message == "end":
                break
        talking.cancel()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Nothing is kept for the user who tests, and there is no Bluetooth but the virtual one."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    return tmp_path


@pytest.fixture
def boards(home, ctrl_c):  # noqa: ARG001
    """boards(*names, pause=ms): a `picolink run` with a board for each name; a file with what it prints."""
    with contextlib.ExitStack() as stack:

        def start(*names, pause=30, key=False):
            programs = []
            for name in names:
                programs.append(home / f"{name}.py")
                text = TALKER.replace("NAME", name).replace("PAUSE", str(pause)).replace("KEY", repr(key))
                programs[-1].write_text(text)
            printed = home / "printed"
            with printed.open("w") as file:
                run = [PICOLINK, "run", *programs]
                running = subprocess.Popen(run, stdout=file, stderr=subprocess.STDOUT, text=True)
            stack.callback(running.wait, 20)
            stack.callback(running.send_signal, signal.SIGINT)
            wait_until(lambda: "picolink scan --radio virtual" in printed.read_text())
            return printed

        yield start


def wait_until(done):
    end = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def picolink(command, *arguments, radio="virtual", given=None):
    return subprocess.run(
        [PICOLINK, command, "--radio", radio, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class Terminal:
    """A command in a terminal of 100 columns and 24 rows.  text: all that it has written, without colours."""

    def __init__(self, *command):
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.environ.update(TERM="xterm", COLUMNS="100", LINES="24", NO_COLOR="1")
            os.execv(PICOLINK, ["picolink", *command])
        self.text = ""

    def until(self, pattern):
        """Wait for a pattern in what came since the last call."""
        end = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < end, self.text
            assert self._read(), f"ended without {pattern!r}: {self.text}"
        self.text = self.text[found.end() :]
        return found

    def type(self, keys):
        os.write(self._file, keys.encode())

    def exit_code(self):
        while self._read():
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._file)
        return code

    def is_raw(self):
        return not termios.tcgetattr(self._file)[3] & termios.ICANON

    def kill(self):
        os.kill(self._pid, signal.SIGKILL)

    def _read(self):
        """Whether it goes on."""
        if not select.select([self._file], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._file, 65536)
        except OSError:  # how Linux says that nobody writes any more
            return False
        if b"\x1b[6n" in data:  # where is the cursor?
            self.type("\x1b[1;1R")
        self.text += re.sub(r"\x1b[\[\]?]*[0-9;?]*[ -/]*[@-~]", "", data.decode(errors="replace"))
        return bool(data)


@pytest.mark.parametrize("size", [7, 8, 17, 18, 28])
def test_an_advertisement_has_room_for_every_name(boards, size):
    name = "N" * size
    boards(name)
    (told,) = map(json.loads, picolink("scan", "--json", "--seconds", "2").stdout.splitlines())
    assert told["name"] == name
    assert bool(told["identity"]) == bool(told["version"]) == (size <= 17)


def test_scan_tells_who_is_in_sight(boards):
    boards("One", "Two")
    done = picolink("scan", "--json", "--seconds", "3")
    found = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda told: told["name"])
    assert [told["name"] for told in found] == ["One", "Two"]
    assert len({told["address"] for told in found}) == 2
    # In the middle of a board's identity; these boards have their address for one.
    assert [told["identity"] for told in found] == [
        bytes.fromhex(told["address"].replace(":", ""))[2:].hex() for told in found
    ]
    assert {told["version"] for told in found} == {__version__}
    assert all(-80 < told["signal_dbm"] < -30 for told in found)
    assert done.returncode == 0
    terminal = Terminal("scan", "--radio", "virtual")
    terminal.until("One .* dBm .* 28:CD:C1:00:00:01 .* now")
    terminal.type("\x03")
    assert terminal.exit_code() == 0


def test_send_says_whether_it_was_delivered(boards):
    printed = boards("One")
    done = picolink("send", "One", "hello", "two words", "--replies", "30")
    assert (done.returncode, done.stderr) == (0, "delivered: 2 messages\n")
    assert {"answer to hello", "answer to two words"} <= set(done.stdout.splitlines())
    done = picolink("send", "One", given="a line\nlast one without an end")
    assert (done.returncode, done.stderr) == (0, "delivered: 2 messages\n")
    got = re.findall(r"got (.*)", printed.read_text())
    assert got == ["hello", "two words", "a line", "last one without an end"]
    done = picolink("send", "Nobody", "x", "y", "--timeout", "1")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: 2 messages not delivered: gave up after 1 s: no board named 'Nobody' in sight\n"
    )
    # Long enough to find the board on a busy machine too: the limit is for both.
    done = picolink("send", "One", "x", "--replies", "100000", "--timeout", "15")
    assert done.returncode == 1
    assert re.search("all is delivered, but: .* of 100000 replies have come within 15 s", done.stderr)


def test_two_boards_at_once(boards):
    printed = boards("One", "Two")
    commands = [
        subprocess.Popen([PICOLINK, "send", "--radio", "virtual", name, *map(str, range(50))])
        for name in ("One", "Two")
    ]
    assert [command.wait(LIMIT_S) for command in commands] == [0, 0]
    for name in ("One", "Two"):
        got = re.findall(rf"{name}  got (\d+)", printed.read_text())
        assert got == [str(number) for number in range(50)]


def lines_until_ctrl_c(count, *command):
    """What a command prints whose Ctrl-C is pressed after `count` lines."""
    with subprocess.Popen([PICOLINK, *command], stdout=subprocess.PIPE, text=True) as running:
        lines = [running.stdout.readline() for _ in range(count)]
        running.send_signal(signal.SIGINT)
        lines += running.stdout.readlines()
    assert running.returncode == 0
    return lines


def test_what_one_monitor_has_not_told_comes_to_the_next(boards):
    boards("One", pause=5)
    told = []
    for _ in range(3):
        lines = lines_until_ctrl_c(200, "monitor", "One", "--radio", "virtual", "--json")
        told += [json.loads(line) for line in lines]
    messages = [line for line in told if "text" in line]
    assert [line["text"] for line in messages] == [f"n {number}" for number in range(len(messages))]
    assert [line["channel"] for line in messages] == [number & 1 for number in range(len(messages))]
    assert [line["event"] for line in told if "event" in line] == ["connected", "disconnected"] * 3
    heading, first, *_ = lines_until_ctrl_c(10, "monitor", "One", "--radio", "virtual", "--csv")
    assert heading == "time,channel,bytes,message\n"
    assert first.rstrip().split(",")[1:] == [
        str(len(messages) & 1),
        str(len(messages[-1]["text"])),
        f"n {len(messages)}",
    ]
    done = picolink("monitor", "Nobody", "--csv", "--seconds", "1")
    assert (done.returncode, done.stderr) == (1, "Error: 'Nobody' did not come within 1 s\n")


def test_the_monitors_table(boards):
    boards("One", pause=5)
    terminal = Terminal("monitor", "One", "--radio", "virtual")
    terminal.until("One: connected +round trip - +connections 1 ")
    terminal.until(r"0 +[1-9]\d* +[1-9]\S+ .* n \d*[02468]\s")
    terminal.until(r"1 +[1-9]\d* +[1-9]\S+ .* n \d*[13579]\s")
    terminal.type("\x03")
    assert terminal.exit_code() == 0


def test_the_monitors_curves(boards, home):
    boards("One", pause=5)
    terminal = Terminal("monitor", "One", "--radio", "virtual", "--plot", "--png", str(home / "numbers.png"))
    terminal.until("One: connected +round trip")
    terminal.until(r"\[1\] n: [1-9]\d*[13579]\s")
    terminal.until(r"┤[^│┤]*[\u2801-\u28ff]")
    terminal.type("\x03")
    assert terminal.exit_code() == 0
    assert (home / "numbers.png").read_bytes().startswith(b"\x89PNG")
    done = picolink("monitor", "One", "--json", "--seconds", "0.1", "--png", str(home / "none.png"))
    assert done.returncode == 1
    assert not (home / "none.png").exists()


def test_chat_both_ways(boards, home):
    printed = boards("One", pause=1000)
    terminal = Terminal("chat", "One", "--radio", "virtual")
    terminal.until("Looking for One")
    terminal.until("connected: ")
    terminal.until("n 0")
    terminal.type("hello\r")
    terminal.until(r"\[3\] answer to hello")
    terminal.until("One: connected . sent 1, it has 1 . received [1-9]")
    terminal.type("\x1b[200~pasted one\npasted two\x1b[201~\r")
    terminal.until("answer to pasted two")
    terminal.type("\x1b[A" * 3 + "\r")  # three lines up
    wait_until(lambda: re.findall("got (.*)", printed.read_text())[3:] == ["hello"])
    assert re.findall("got (.*)", printed.read_text()) == ["hello", "pasted one", "pasted two", "hello"]
    terminal.type("\x04")
    assert terminal.exit_code() == 0
    wait_until(lambda: "looking for it again" in printed.read_text())
    assert "hello" in (home / "XDG_STATE_HOME" / "picolink" / "chat-history").read_text()
    # The board's program goes on; when it ends, so does the chat.
    terminal = Terminal("chat", "One", "--radio", "virtual")
    terminal.until("connected: ")
    terminal.type("end\r")
    terminal.until("One has closed the link.")
    assert terminal.exit_code() == 0


def test_no_key_is_lost_while_messages_come(boards):
    printed = boards("One", pause=5)
    terminal = Terminal("chat", "One", "--radio", "virtual")
    terminal.until("One: connected")
    for number in range(10):
        for key in f"line {number}\r":
            terminal.type(key)
            terminal.until("n [0-9]")
            assert terminal.is_raw()  # a plain one would take Ctrl-D for the end of a file, and drop it
    terminal.until("answer to line 9")
    terminal.type("\x04")
    assert terminal.exit_code() == 0
    assert re.findall("got (.*)", printed.read_text()) == [f"line {number}" for number in range(10)]


def test_a_board_that_is_faster_than_the_terminal_has_to_wait(boards):
    boards("One", pause=0)
    terminal = Terminal("chat", "One", "--radio", "virtual")
    terminal.until(r"n 3\d\d\d\b")
    terminal.type("\x04")
    assert terminal.exit_code() == 0
    # No more than the rings of both sides hold, and what was being shown.
    assert max(map(int, re.findall(r"n (\d+)", terminal.text)), default=0) < 3000 + 4000


def key_file(path, key):
    path.write_text(key + "\n")
    path.chmod(0o600)
    return str(path)


def test_a_board_with_a_key(boards, home):
    right, wrong = (keys.text(bytes((number,)) * 32) for number in (1, 2))
    file, other = key_file(home / "right.key", right), key_file(home / "wrong.key", wrong)
    printed = boards("One", key=right)
    delivered = (0, "delivered: 1 message\n")
    for given in (file, right):
        done = picolink("send", "One", "--key", given, "--replies", "1", "hello")
        assert (done.returncode, done.stderr) == delivered
    pc_file = home / "XDG_DATA_HOME" / "picolink" / "picolink.key"
    pc_file.parent.mkdir(parents=True, exist_ok=True)
    key_file(pc_file, right)
    done = picolink("send", "One", "--key", "pc", "hello")
    assert (done.returncode, done.stderr) == delivered
    first, second, *_ = lines_until_ctrl_c(5, "monitor", "One", "--radio", "virtual", "--json", "--key", file)
    assert json.loads(first)["event"] == "connected"
    assert json.loads(second)["text"].startswith("n ")
    terminal = Terminal("chat", "One", "--radio", "virtual", "--key", file)
    terminal.until("connected: ")
    terminal.type("hello\r")
    terminal.until("answer to hello")
    terminal.type("\x04")
    assert terminal.exit_code() == 0
    assert re.findall("got (.*)", printed.read_text()) == ["hello"] * 4
    # And who has none, or another one, is told so.
    for options, why in (
        ((), "the other board talks with a key only, and this link has none: give both the same key"),
        # Whoever is the first to see the other's proof turns it away.
        (("--key", other), "has another key(, and was turned away)?: give both the same one"),
    ):
        done = picolink("send", "One", *options, "--timeout", "6", "in vain")
        assert done.returncode == 1
        assert re.search(f"1 message not delivered: gave up after 6 s: .*{why}", done.stderr)
    assert "in vain" not in printed.read_text()
    assert right not in printed.read_text()


def test_a_board_without_the_key_that_the_pc_has(boards, home):
    boards("One")
    file = key_file(home / "right.key", keys.text(bytes(32)))
    done = picolink("send", "One", "--key", file, "--timeout", "6", "in vain")
    assert "has no key, and was turned away: give both the same key" in done.stderr


def test_a_refusal_says_more_than_what_follows_from_it():
    reason = Reason("One", "it took nothing for so long")
    assert reason.text == "no board named 'One' in sight"
    for event, detail, text in (
        ("not found", "still looking", "still looking"),
        ("refused", "it has a key", "it has a key"),
        # The board hangs up at once on whoever comes again.
        ("not connected", "Bluetooth says: disconnected", "it has a key"),
        ("refused", "it has another key", "it has another key"),
        ("connected", "MTU 247", "it took nothing for so long"),
        ("disconnected", "looking for it again", "looking for it again"),
    ):
        reason.on_event(event, detail)
        assert reason.text == text


def test_a_key_without_a_cipher_names_what_is_missing(monkeypatch):
    """Not in a traceback, once the board is there."""
    find = importlib.util.find_spec
    lacking = ("_picolink", "cryptography")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda *name: None if name[0] in lacking else find(*name)
    )
    outcome = CliRunner().invoke(send, ["One", "--key", keys.text(bytes(32)), "x"])
    assert outcome.exit_code == 1
    assert '"picolink[keys]"' in outcome.output


def test_what_is_no_key_is_said_and_not_shown(home):
    key = keys.text(bytes(32))
    readable = home / "readable.key"
    readable.write_text(key)
    readable.chmod(0o604)
    for given, why in (
        ("pc", "this PC has no key: picolink key install --pc"),
        (str(home / "none.key"), "none.key cannot be read: No such file"),
        (key_file(home / "password.key", "open sesame"), "a password is no key"),
        (key[:-1] + "x", "what `picolink key new` prints"),
        (str(readable), f"every user of this PC may read the key: chmod 600 {readable}"),
    ):
        for command, *arguments in (("send", "One", "x"), ("monitor", "One"), ("chat", "One")):
            done = picolink(command, *arguments, "--key", given)
            assert done.returncode == 2
            assert why in " ".join(done.stderr.split())
            assert key[20:40] not in done.stderr and "sesame" not in done.stderr


def test_control_characters_of_a_board_do_not_reach_the_terminal():
    from picolink_pc.terminal.visit import readable

    assert readable(b"21.5 \xc2\xb0C") == "21.5 °C"
    assert readable(b"\x1b[2J") == "1b 5b 32 4a"
    assert readable(b"\xff\x00") == "ff 00"
    assert readable(b"two\nlines") == "two ↵ lines"


def test_errors_say_what_to_do(boards):
    done = picolink("send", "One", "x")
    assert done.returncode == 1
    assert "start one in another terminal, picolink run PROGRAM.py" in done.stderr
    done = picolink("scan", radio="adapter")
    assert done.returncode == 1
    assert "sudo apt install bluez" in done.stderr and "virtual" not in done.stderr
    boards("One")
    done = picolink("scan", radio="hci0")
    assert "Virtual boards are running: --radio virtual" in done.stderr
    for command, *arguments in (
        ("chat", "One"),  # no terminal
        ("monitor", "One"),
        ("monitor", "One", "--json", "--csv"),
        ("monitor", "One", "--json", "--plot"),
        ("monitor", "One", "--plot"),
        ("send", "x" * 29, "x"),
    ):
        assert picolink(command, *arguments).returncode == 2
    assert "adapter, virtual or" in picolink("scan", radio="else").stderr
