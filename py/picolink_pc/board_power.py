"""How a virtual board or a PC is started: MicroPython with the stand-in or a real stack; CPython."""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .radio.virtual_radio import VirtualRadio

_STANDIN = Path(__file__).parent / "standin"

STANDIN_ON_MICROPYTHON = [_STANDIN / "board", _STANDIN / "micropython"]
"""For sys.path of such boards."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StandinPower:
    """What a board with the stand-in for Bluetooth starts with.  command: what runs programs."""

    def __init__(self, micropython: Path, path: list[Path], socket: Path) -> None:
        self.command = [str(micropython)]
        self._environment = {"MICROPYPATH": _join(path), "PICOLINK_STANDIN": str(socket)}

    def on(self) -> dict[str, str]:
        return self._environment

    def off(self) -> None:
        pass  # the host sees the end of the socket


class CPythonPower:
    """The same for a board in CPython, which reaches the host by TCP.

    packages: the folder that holds picolink.  address: as StandinHost.listen_on_loopback gives it.
    """

    def __init__(self, packages: Path, address: str) -> None:
        self.command = [sys.executable, "-X", "utf8", "-u", str(_STANDIN.with_name("cpython_board.py"))]
        path = [_STANDIN / "board", _STANDIN / "cpython", packages]
        self._environment = {
            "PICOLINK_PATH": os.pathsep.join(map(str, path)),
            "PICOLINK_STANDIN": address,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",  # stronger than -X utf8
        }

    def on(self) -> dict[str, str]:
        return self._environment

    def off(self) -> None:
        pass


class PcPower:
    """The same for a PC: bleak on a virtual adapter.  door: RadioDoor.file.  engine: as pc_peer's."""

    def __init__(self, door: Path, engine: str) -> None:
        self.command = [sys.executable, "-u", "-m", "picolink_pc.pc_peer", str(door), engine]

    def on(self) -> dict[str, str]:
        return {}

    def off(self) -> None:
        pass  # the radio sees the end of the socket


class RealStackPower:
    """The same for a board whose MicroPython has a Bluetooth stack: a controller on a terminal device."""

    def __init__(self, micropython: Path, path: list[Path], radio: "VirtualRadio", name: str, address: str):
        self.command = [str(micropython)]
        self._path = path
        self._radio = radio
        self._identity = (name, address)

    def on(self) -> dict[str, str]:
        from .radio.hci_pty import HciPty

        self._controller = self._radio.add_controller(*self._identity)
        self._pty = HciPty(self._controller)
        return {"MICROPYPATH": _join(self._path), "MICROPYBTUART": self._pty.path}

    def off(self) -> None:
        self._radio.remove_controller(self._controller)
        self._pty.close()


def process_options() -> dict[str, object]:
    """For subprocess: Ctrl-C is for the process that starts the board, and the board does not outlive it."""
    if os.name == "nt":
        return {"creationflags": 0x00000200}  # CREATE_NEW_PROCESS_GROUP
    # Elsewhere than on Linux boards are in CPython, and end with their connection.
    return {"start_new_session": True, **({"preexec_fn": _die_with_parent} if _libc else {})}


def _die_with_parent() -> None:
    """Runs in the board's process before its program."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _join(path: list[Path]) -> str:
    return ":".join([*map(str, path), ".frozen"])
