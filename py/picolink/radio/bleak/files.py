"""What a PC keeps from one run to the next: its identity, and whom links with remember=True have met."""

import contextlib
import logging
import os
import secrets
from pathlib import Path

import platformdirs

from ...key import FILE

_log = logging.getLogger(__name__)


def folder():
    """Where that is, on Linux ~/.local/share/picolink; it exists, if this user may make it."""
    return platformdirs.user_data_path("picolink", appauthor=False, ensure_exists=False)


def identity():
    """The 8 bytes by which boards know this user on this PC. Another one each time, if none can be kept."""
    file = folder() / "identity"
    try:
        return _read(file) or _make(file)
    except OSError as e:
        _log.warning("boards will take this PC for another one each time: %s cannot be kept: %s", file, e)
        return secrets.token_bytes(8)


def tell_of_open_key():
    """Logs a warning where others may read the key of this PC."""
    file = folder() / FILE
    with contextlib.suppress(OSError):
        if os.name == "posix" and file.stat().st_mode & 0o077:
            _log.warning("other users of this PC may read the key: chmod 600 %s", file)


def _read(file):
    with contextlib.suppress(FileNotFoundError):
        text = file.read_text().strip()
        with contextlib.suppress(ValueError):
            kept = bytes.fromhex(text)
            if len(kept) == 8 and any(kept):
                return kept
        _log.warning("%s holds no identity: a new one is made", file)
        file.unlink()
    return None


def _make(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    new = Path("%s.%d.%s" % (file, os.getpid(), secrets.token_hex(4)))
    new.write_text(secrets.token_bytes(8).hex() + "\n")
    try:
        _put(new, file)
        return _read(file)
    finally:
        new.unlink(missing_ok=True)


def _put(new, file):
    """Whole, and only if there is none yet: another process may do the same now."""
    try:
        os.link(new, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        new.replace(file)
