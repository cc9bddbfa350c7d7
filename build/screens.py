"""Pictures for docs/pc.md and README.md: what commands of the terminal show of virtual boards.

    build/out/venv/bin/python build/screens.py

writes docs/images/scan.svg, chat.svg, monitor.svg and example-*.svg. It needs tmux: sudo apt install tmux.
About four minutes.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from picolink_pc import screen_svg
from rich.console import Console
from rich.text import Text

_HERE = Path(__file__).parent.parent
_PAGE = _HERE / "docs" / "pc.md"  # which has the program, too
_IMAGES = _HERE / "docs" / "images"
_COLUMNS = 90
_WAIT_S = 90


class Terminal:
    """A command on a screen.  Use it with `with`; at its end the command is over.

    command: with its arguments.   environment: of the command, besides this process's.
    lines: of the screen.
    """

    def __init__(self, command: list[str], environment: dict[str, str], lines: int) -> None:
        self._command = " ".join(map(shlex.quote, command))
        self._lines = lines
        self._environment = os.environ | environment
        self._socket = Path(tempfile.mkdtemp(dir=environment["HOME"])) / "tmux"

    def __enter__(self) -> "Terminal":
        size = ("-x", str(_COLUMNS), "-y", str(self._lines))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, self._command)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._tmux("kill-server", check=False)

    def until(self, pattern: str) -> str:
        """The screen, with its colours, once the pattern is on it. Raises TimeoutError."""
        end = time.monotonic() + _WAIT_S
        while True:
            if re.search(pattern, self._tmux("capture-pane", "-p")):
                return self._tmux("capture-pane", "-e", "-p")
            if time.monotonic() > end:
                raise TimeoutError(f"never came: {pattern}\n{self._tmux('capture-pane', '-p')}")
            time.sleep(0.1)

    def type(self, text: str) -> None:
        """A line of it."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        return subprocess.run(
            command, env=self._environment, check=check, stdout=subprocess.PIPE, text=True
        ).stdout


def draw(screen: str, name: str, title: str | None = None) -> None:
    """screen: with its colours.   name: of the picture.   title: by default the command of that name."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.rstrip()))
    file = _IMAGES / f"{name}.svg"
    file.write_text(screen_svg.svg(console, title or f"picolink {name}"), encoding="utf-8")
    print(file.relative_to(_HERE))


_EXAMPLES = (
    (
        "sensor display",
        24,
        (
            (r"display +\d+ s", 6, ":off display"),
            ("display is off", 70, ":restart display"),
            ("left out", 5, None),
        ),
    ),
    ("battery base", 16, ((r"(?s)(awake.*){2}", 0, None),)),
    (
        "chat chat",
        26,
        (
            ("Who", 0, "Ann"),
            ("You can|Ann", 0, ":chat 2"),
            ("now go to chat 2", 0, "Bob"),
            (r"(?s)(can talk.*){2}", 0, "Is it warm there?"),
            ("Bob: Is it", 0, ":chat 1"),
            ("now go to chat 1", 0, "21.5 degrees!"),
            ("Ann: 21.5", 0, None),
        ),
    ),
)
"""Programs, lines of the screen, and steps: until what is seen, seconds, what is typed then."""


def _draw_examples(picolink: str, home: dict[str, str]) -> None:
    for names, lines, steps in _EXAMPLES:
        files = [f"{name}.py" for name in names.split()]
        command = [picolink, "run", *(str(_HERE / "examples" / file) for file in files)]
        with Terminal(command, home, lines) as terminal:
            for pattern, seconds, typed in steps:
                terminal.until(pattern)
                time.sleep(seconds)
                if typed is not None:
                    terminal.type(typed)
            screen = terminal.until(".")
        draw(screen, f"example-{names.split()[0]}", f"picolink run {' '.join(files)}")


def _draw_files(picolink: str, home: dict[str, str]) -> None:
    folder = Path(home["HOME"])
    (folder / "settings.json").write_text('{"interval s": 60}\n')
    copy = shlex.join([picolink, "copy"])
    commands = (
        f"cd {folder}; {copy} settings.json Files: --radio virtual; {copy} Files:log.csv . --radio virtual"
    )
    with Terminal([picolink, "run", str(_HERE / "examples/files.py")], home, 12) as board:
        board.until("advertising")
        with Terminal(["sh", "-c", f"{commands}; cat log.csv; sleep 60"], home, 12) as terminal:
            draw(terminal.until(r",files/settings.json"), "example-files", "picolink copy")


def main() -> None:
    if not shutil.which("tmux"):
        sys.exit("tmux is not there: sudo apt install tmux")
    picolink = str(Path(sys.executable).with_name("picolink"))
    virtual = ["PicoA", "--radio", "virtual"]
    with tempfile.TemporaryDirectory() as folder:
        home = {"HOME": folder} | {
            name: f"{folder}/{name}" for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
        }
        greeter = Path(folder) / "greeter.py"
        (program,) = re.findall(
            r"Save this as `main.py`:\n\n```python\n(.*?)```", _PAGE.read_text(), re.DOTALL
        )
        greeter.write_text(program)
        with Terminal([picolink, "run", str(greeter)], home, 8) as board:
            board.until("advertising")
            with Terminal([picolink, "scan", "--radio", "virtual"], home, 8) as terminal:
                draw(terminal.until("PicoA"), "scan")
            with Terminal([picolink, "chat", *virtual], home, 12) as terminal:
                terminal.until("Hello from the Pico")
                terminal.type("Hello from the laptop!")
                draw(terminal.until(r"(?s)laptop.*(Hello.*){2}it has 1"), "chat")
        climate = _HERE / "tests" / "programs" / "climate.py"
        with Terminal([picolink, "run", str(climate)], home, 8) as board:
            board.until("advertising")
            with Terminal([picolink, "monitor", *virtual, "--plot"], home, 24) as terminal:
                time.sleep(20)  # curves take their time
                draw(terminal.until("temperature"), "monitor")
        _draw_examples(picolink, home)
        _draw_files(picolink, home)


if __name__ == "__main__":
    main()
