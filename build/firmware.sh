#!/usr/bin/env bash
# Builds the firmware of BOARD with picolink inside, and tells what picolink adds to it:  build/firmware.sh BOARD
# TUNED=1: see CMakeLists.txt. The same firmware without picolink is in build/out/firmware/BOARD/without_picolink/;
# COMPARE=0 leaves it out.
source "$(dirname "$0")/common.sh"
board=$1
work=$OUT/firmware/$board${TUNED:+-tuned}

[ -r "$(board_settings "$board")" ] ||
    fail "MicroPython's rp2 port has no board called '$board'. It has:" \
        "$(cd "$MICROPYTHON/ports/rp2/boards" && printf '%s\n' */ | tr -d /)"
[ -z "${TUNED:-}" ] || board_has "$board" MICROPY_PY_BLUETOOTH ||
    fail "TUNED=1 is for boards with Bluetooth. $board has none."

case $board in *-RISCV)
    # The Pico SDK's own choice of compilers, or else Debian's (build/riscv64_toolchain).
    PATH=${PICO_TOOLCHAIN_PATH:-}/bin:$PATH command -v riscv32-unknown-elf-gcc riscv32-corev-elf-gcc >/dev/null ||
        "$ROOT/build/tools.sh" riscv-firmware ;;
esac
"$ROOT/build/firmware_source.sh" "$board" '[1/2]'
build() {
    # CMake keeps to the source that it first saw.
    local source
    source=$(readlink -f "$MICROPYTHON")
    [ "$(cat "$work/source.txt" 2>/dev/null)" = "$source" ] || rm -rf "$work"
    mkdir -p "$work"
    echo "$source" >"$work/source.txt"
    cmake -S "$ROOT" -B "$work" -DBOARD="$board" -DTUNED="${TUNED:-0}" -DCOMPARE="${COMPARE:-1}" \
        -DMPY_DIR="$source" -DMPY_CROSS="$MPY_CROSS"
    cmake --build "$work" -- -j"$JOBS"
}
step "[2/2] Firmware for ${work##*/}, about 3 min the first time" "firmware-${work##*/}" build
echo
cat "$work/size.txt"
printf '\nThe firmware: %s\n' "${work%/*}/picolink-$VERSION-${work##*/}.uf2"
