"""Puts what boards need into wheels and into the sdist: hatchling calls this when it builds one.

build/board_files.py has left it in build/out/wheel/files.
"""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_INSIDE = "picolink_pc/files"


class BoardFiles(BuildHookInterface):
    """The hook; hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Adds files to the build.  version: "standard" or "editable".  Raises FileNotFoundError."""
        if version == "editable":  # a checkout's own come from build/out
            return
        files = Path(self.root, "build", "out", "wheel", "files")
        if not files.is_dir():
            raise FileNotFoundError(f"{files} is missing: run make dist")
        if self.target_name == "sdist":
            build_data["force_include"][str(files)] = "build/out/wheel/files"
            return
        build_data["force_include"][str(files)] = _INSIDE
