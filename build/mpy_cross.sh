#!/usr/bin/env bash
# Builds mpy-cross from build/out/micropython into build/out/bin; the source stays untouched.
# build/mpy_cross.sh [POSITION]
source "$(dirname "$0")/common.sh"
work=$OUT/micropython-build/mpy-cross

build() {
    make -C "$MICROPYTHON/mpy-cross" -j"$JOBS" BUILD="$work" PYTHON="$VENV/bin/python"
    publish "$work/mpy-cross"
}

rm -rf "$work"
step "${1:-} Building mpy-cross, about 12 s" mpy-cross build
