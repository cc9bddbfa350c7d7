#!/usr/bin/env bash
# Puts the MicroPython source at build/out/micropython: a link to MPY_DIR if that is set, else Debian's source package.
# build/micropython_source.sh [POSITION]
source "$(dirname "$0")/common.sh"
release=1.25.0   # what Debian trixie has; any release from 1.23 on has the same native module ABI (6.3)

git_clone_line="  git clone --depth 1 --branch v$release https://github.com/micropython/micropython.git ../micropython"

abi() { awk '$2 == "MPY_VERSION" {v = $3} $2 == "MPY_SUB_VERSION" {s = $3} END {print v "." s}' "$1/py/persistentcode.h"; }

if [ -n "${MPY_DIR:-}" ]; then
    [ -r "$MPY_DIR/py/persistentcode.h" ] || fail "MPY_DIR=$MPY_DIR is not a MicroPython checkout (no py/persistentcode.h in it)."
    mpy_dir=$(cd "$MPY_DIR" && pwd -P)
    case $mpy_dir in *[[:space:]]*) fail "MPY_DIR=$mpy_dir: MicroPython does not build in a path with spaces; move it." ;; esac
    [ "$(abi "$mpy_dir")" = 6.3 ] ||
        fail "MPY_DIR=$mpy_dir has native module ABI $(abi "$mpy_dir"); picolink needs 6.3 (MicroPython 1.24 or newer)."
    rm -rf "$MICROPYTHON"
    ln -s "$mpy_dir" "$MICROPYTHON"
    echo "${1:-} MicroPython source: $mpy_dir (MPY_DIR)"
    exit 0
fi

[ ! -L "$MICROPYTHON" ] || rm "$MICROPYTHON"
download() {
    "$ROOT/build/debian_package.sh" source micropython "$MICROPYTHON" || {
        rm -f "$OUT/apt/deb-src/lists.done"
        echo
        echo "The Debian source package micropython $release could not be had. Get the source another way, then run make again:"
        echo "$git_clone_line"
        echo "  make MPY_DIR=../micropython ..."
        return 1
    }
}
step "${1:-} MicroPython source from Debian's package (16 MB), about 10 s" micropython-source download
