#!/usr/bin/env bash
# Builds mpy-cross and MicroPython's unix port from build/out/micropython into build/out/bin; the source stays untouched.
# build/micropython.sh [POSITION OF MPY-CROSS] [POSITION OF THE UNIX PORT]
source "$(dirname "$0")/common.sh"
work=$OUT/micropython-build

# No TLS and no BTree: they need submodules, and no virtual board uses them.
unix() {
    mkdir -p "$work/unix-modules"
    # No link: hatchling would find the folder here first, and leave it out of the sdist.
    cp -r "$ROOT/py/picolink_pc/standin/native" "$work/unix-modules/standin"
    make -C "$MICROPYTHON/ports/unix" -j"$JOBS" BUILD="$work/unix" PYTHON="$VENV/bin/python" \
        MICROPY_MPYCROSS="$MPY_CROSS" MICROPY_MPYCROSS_DEPENDENCY= MPY_LIB_DIR="$NO_LIB" \
        FROZEN_MANIFEST="$ROOT/build/unix_manifest.py" MICROPY_PY_SSL=0 MICROPY_SSL_MBEDTLS=0 MICROPY_PY_BTREE=0 \
        USER_C_MODULES="$work/unix-modules"
    publish "$work/unix/micropython"
    "$OUT/bin/micropython" -c 'import asyncio, binascii, os, select, socket, struct, _thread, micropython
micropython.heap_lock, micropython.heap_unlock, micropython.schedule'
}

rm -rf "$work"
"$ROOT/build/mpy_cross.sh" "${1:-}"
step "${2:-} Building MicroPython (unix), about 40 s" micropython-unix unix
