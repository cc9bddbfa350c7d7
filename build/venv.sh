#!/usr/bin/env bash
# Makes build/out/venv: the pinned Python packages (checked against their hashes) and picolink itself, editable.
# build/venv.sh [POSITION], for example "[2/6]".
source "$(dirname "$0")/common.sh"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "picolink needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version 2>&1)." \
        "Install a newer one, then name it:  make PYTHON=/path/to/python3.12 ..."

install() {
    # Renewed in place, unless the Python that it was made with is gone.
    "$VENV/bin/python" -c '' || { rm -rf "$VENV" && "$PYTHON" -m venv "$VENV"; }
    "$VENV/bin/pip" --disable-pip-version-check install --require-hashes -r "$ROOT/build/requirements.lock"
    "$VENV/bin/pip" --disable-pip-version-check install --no-deps --no-index --no-build-isolation -e "$ROOT"
}
step "${1:-} Python packages into build/out/venv, about 30 s" venv install
