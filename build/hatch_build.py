"""Puts what boards need into wheels and into the sdist: hatchling calls this when it builds one.

build/board_files.py has gathered it in the folder that PICOLINK_BOARD_FILES names; an sdist has it inside.
PICOLINK_PLATFORM, such as build/out/platform/x86_64 (build/platform.sh): the wheel is for Linux on that
architecture, and brings a MicroPython for virtual boards and the engine in C.
"""

import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IN_WHEEL = "picolink_pc/files"
_IN_SDIST = "board_files"

_TAG = "cp311-abi3-manylinux_2_17_{0}.manylinux2014_{0}"
"""Of wheels for one architecture: the limited API of Python 3.11, and the glibc that platform.sh names."""


class BoardFiles(BuildHookInterface):
    """The hook; hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Adds files to the build.  version: "standard" or "editable".  Raises FileNotFoundError."""
        if version == "editable":  # a checkout's own come from build/out
            return
        files = _folder(os.environ.get("PICOLINK_BOARD_FILES") or Path(self.root, _IN_SDIST))
        included = build_data["force_include"]
        included[str(files)] = _IN_SDIST if self.target_name == "sdist" else _IN_WHEEL
        if self.target_name == "wheel" and "PICOLINK_PLATFORM" in os.environ:
            platform = _folder(os.environ["PICOLINK_PLATFORM"])
            for part in platform.iterdir():
                if part.is_dir():
                    included |= {str(f): f"{_IN_WHEEL}/{f.relative_to(platform)}" for f in _files(part)}
                else:
                    included[str(part)] = part.name
            build_data["pure_python"] = False
            build_data["tag"] = _TAG.format(platform.name)


def _folder(path: str | Path) -> Path:
    if not Path(path).is_dir():
        raise FileNotFoundError(f"{path} is missing: make dist builds picolink's packages")
    return Path(path)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
