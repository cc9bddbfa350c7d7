"""The files of this PC that hold keys. No error shows a key."""

import importlib.util
import os
import secrets
import stat
from pathlib import Path

import platformdirs
from picolink import key as link_keys

from . import extras


def of_pc() -> Path:
    """Where picolink.radio.bleak looks for the key of this PC."""
    return platformdirs.user_data_path("picolink", appauthor=False, ensure_exists=False) / link_keys.FILE


def read(file: Path) -> str:
    """What is in the file, as text.  Raises ValueError that says why it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"{file} cannot be read: {why}") from None


def write(file: Path, text: str) -> None:
    """For the eyes of this user only.  Raises FileExistsError if something has that name, a link too."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text + "\n")


def replace(file: Path, text: str) -> None:
    """As write(); what has that name goes away once the new file is whole."""
    new = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        write(new, text)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def check(text: str, file: Path | None) -> None:
    """Raises ValueError if this is no key, or every user may read the file that it is in."""
    if file and os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO:
        raise ValueError(f"every user of this PC may read the key: chmod 600 {file}")
    link_keys.secret(text)


def require_cipher() -> None:
    """Raises MissingExtraError where a key is of no use: the Python engine needs a package for its cipher."""
    if not importlib.util.find_spec("_picolink"):
        extras.require("keys", "boards with a key, and the Python engine")
