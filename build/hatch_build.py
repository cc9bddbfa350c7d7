"""Puts what boards need into wheels and into the sdist: hatchling calls this when it builds one.

build/board_files.py has gathered it in the folder that PICOLINK_BOARD_FILES names; an sdist has it inside.
"""

import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IN_WHEEL = "picolink_pc/files"
_IN_SDIST = "board_files"


class BoardFiles(BuildHookInterface):
    """The hook; hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Adds files to the build.  version: "standard" or "editable".  Raises FileNotFoundError."""
        if version == "editable":  # a checkout's own come from build/out
            return
        files = Path(os.environ.get("PICOLINK_BOARD_FILES") or Path(self.root, _IN_SDIST))
        if not files.is_dir():
            raise FileNotFoundError(f"{files} is missing: make dist builds picolink's packages")
        build_data["force_include"][str(files)] = _IN_SDIST if self.target_name == "sdist" else _IN_WHEEL
