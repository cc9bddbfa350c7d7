"""Node.js and the npm packages that the emulated board needs, kept for the next time."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .. import products
from .errors import EmulatorError

SOURCES = Path(__file__).parent
FOLDER = products.OUT / "emulator"
OLDEST_NODE = 18

_HOW_TO_GET_NODE = (
    f"install Node.js {OLDEST_NODE} or newer with npm (Debian and Ubuntu: apt install nodejs npm)"
)


def program(name: str = "main.mjs") -> list[str]:
    """The command that runs one of the emulator's programs, without its arguments.

    Installs the npm packages the first time, in some seconds.  Raises EmulatorError: what is missing.
    """
    node = _find("node")
    _check_version(node)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not installed():
        _install(_find("npm"))
    # Node.js looks for packages beside the program, so the program goes where they are.
    for source in SOURCES.glob("*.mjs"):
        _copy(source, FOLDER / source.name)
    _copy(SOURCES / "package.json", FOLDER / "package.json")
    return [node, str(FOLDER / name)]


def installed() -> bool:
    """Whether the pinned npm packages are there."""
    pinned = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    for name, version in pinned.items():
        manifest = FOLDER / "node_modules" / name / "package.json"
        if not manifest.exists() or json.loads(manifest.read_text())["version"] != version:
            return False
    return True


def _find(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise EmulatorError(f"{tool} is not installed; the emulated board needs it: {_HOW_TO_GET_NODE}")
    return path


def _check_version(node: str) -> None:
    result = subprocess.run([node, "--version"], check=False, capture_output=True, text=True)
    answer = result.stdout.strip()
    match = re.match(r"v(\d+)", answer)
    if match is None or int(match[1]) < OLDEST_NODE:
        raise EmulatorError(f"{node} is version {answer or 'unknown'}: {_HOW_TO_GET_NODE}")


def _install(npm: str) -> None:
    # Into a folder of its own first: another process may do the same, or this one may be stopped.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="npm-") as name:
        folder = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / file, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        result = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            reason = (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()
            raise EmulatorError("npm could not install the emulator's packages:\n" + "\n".join(reason[-5:]))
        if not installed():
            shutil.rmtree(FOLDER / "node_modules", ignore_errors=True)
            (folder / "node_modules").rename(FOLDER / "node_modules")


def _copy(source: Path, target: Path) -> None:
    """Copies in one step, and only what changed: other emulators may be starting from the same folder."""
    content = source.read_bytes()
    if not target.exists() or target.read_bytes() != content:
        with tempfile.NamedTemporaryFile(dir=FOLDER, delete=False) as file:
            file.write(content)
        Path(file.name).replace(target)
