"""Pictures for docs/pc.md: what the commands of the terminal show of a virtual board.

    build/out/venv/bin/python build/screens.py

writes docs/images/scan.svg, chat.svg and monitor.svg. It needs tmux: sudo apt install tmux. About a minute.
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
_WAIT_S = 30


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


def draw(screen: str, name: str) -> None:
    """screen: with its colours.   name: of the command, and of the picture."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.rstrip()))
    file = _IMAGES / f"{name}.svg"
    file.write_text(screen_svg.svg(console, f"picolink {name}"), encoding="utf-8")
    print(file.relative_to(_HERE))


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


if __name__ == "__main__":
    main()
