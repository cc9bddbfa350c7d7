# Sourced by the scripts in this folder: where things are, progress lines, logs, clear failures.
# shellcheck shell=bash disable=SC2034  # the variables are for those scripts
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUT=${PICOLINK_OUT:-$ROOT/build/out}   # PICOLINK_OUT: another folder for what is made (build/test_firmware.py)
VENV=$ROOT/build/out/venv
MICROPYTHON=$OUT/micropython   # the MicroPython source tree, or a link to MPY_DIR
MPY_CROSS=$OUT/bin/mpy-cross
NO_LIB=$OUT/no-micropython-lib   # stands for micropython-lib where we freeze nothing of it
NEWLIB=/usr/include/newlib   # headers of Debian's C library for ARM; Debian's RISC-V compiler comes without any
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml")
mkdir -p "$OUT/bin" "$OUT/logs" "$NO_LIB"
touch "$NO_LIB/README.md"   # MicroPython looks for it

# Our make calls other makes: theirs must not inherit our flags and variables.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKEFILES
# The source tree may lie inside this repository: keep its version string from coming out of our git history.
export GIT_CEILING_DIRECTORIES=$OUT
PYTHON=${PYTHON:-python3}
JOBS=$(nproc 2>/dev/null || echo 2)

# board_settings BOARD: where MicroPython's rp2 port keeps what it is made of.
board_settings() { echo "$MICROPYTHON/ports/rp2/boards/${1%-RISCV}/mpconfigboard.cmake"; }

# board_has BOARD SETTING: whether it is switched on there.
board_has() { grep -Eqs "^set\($2 +(ON|1)\)" "$(board_settings "$1")"; }

# fail MESSAGE...: one line per argument, then stop.
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# publish FILE: into build/out/bin, in one move: virtual boards may be running.
publish() { cp "$1" "$OUT/bin/.new" && mv "$OUT/bin/.new" "$OUT/bin/$(basename "$1")"; }

# step LABEL LOG COMMAND...: run the command quietly, show the label and the seconds it took;
# when it fails, show the end of its log and where the whole log is.
step() {
    local label=${1# } log=$OUT/logs/$2.log began=$SECONDS
    shift 2
    printf '%s ... ' "$label"
    # Not inside an "if": bash would let the command run on after errors there.
    set +e
    (set -e && "$@") >"$log" 2>&1 </dev/null
    local status=$?
    set -e
    if [ $status != 0 ]; then
        printf 'failed\n'
        tail -n 30 "$log" >&2
        fail "" "$label: failed. The whole log: $log"
    fi
    printf 'done (%d s)\n' $((SECONDS - began))
}
