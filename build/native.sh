#!/usr/bin/env bash
# Builds the native module for every architecture that has a compiler here, and prints what it weighs.
# build/native.sh [POSITION [ARCH]]      ARCH: build only this one
#   build/out/native/ARCH/_picolink.mpy                         to put on sys.path
#   build/out/native/picolink-VERSION-ARCH-mpy6.3.mpy           to copy to a board (as _picolink.mpy)
source "$(dirname "$0")/common.sh"
native=$OUT/native
abi=6.3   # of every MicroPython that docs/boards.md has; build/micropython_source.sh accepts no other

# architecture | its C compiler | for (armv6m is always built, x64 on every PC that can run it)
architectures="
x64|gcc|virtual boards on this PC
armv6m|arm-none-eabi-gcc|Pico W; loads on Pico 2 W too
armv7m|arm-none-eabi-gcc|Pico 2 W and other Cortex-M3 to M33
armv7emsp|arm-none-eabi-gcc|Pico 2 W and other Cortex-M4F to M33
rv32imc|riscv64-unknown-elf-gcc|Pico 2 W in RISC-V mode
xtensawin|xtensa-esp32-elf-gcc|ESP32, ESP32-S3"

[ -n "$(ls "$ROOT"/native/*.c 2>/dev/null)" ] || fail "There is no C source in native/."

build() { # build ARCH
    local work=$native/objects/$1
    rm -rf "$work"
    mkdir -p "$work" "$native/objects/libgcc-symbols" "$native/$1"
    ln -s "$ROOT/build/natmod.mk" "$work/Makefile"
    ln -s ../libgcc-symbols "$work/.mpy_ld_cache"
    make -C "$work" ARCH="$1" ROOT="$ROOT" NEWLIB="$NEWLIB" MPY_DIR="$MICROPYTHON" PYTHON="$VENV/bin/python"
    rm -f "$native"/picolink-*-"$1"-*.mpy
    cp "$work/_picolink.mpy" "$native/picolink-$VERSION-$1-mpy$abi.mpy"
    # In one move: a board may be starting from this folder.
    mv "$work/_picolink.mpy" "$native/$1/_picolink.mpy"
}

skipped=()
has_headers() { echo '#include <string.h>' | "$@" -E - >/dev/null 2>&1; }
size_of() { awk -F': *' -v name="$1 size" '$1 == name {print $2}' "$OUT/logs/native-$2.log"; }
row() { printf '  %-11s %6s %7s %5s %6s   %s\n' "$@"; }
table=$(row architecture text rodata bss .mpy for)
build_all() {
    while IFS='|' read -r arch compiler purpose; do
        if [ -n "$only" ] && [ "$only" != "$arch" ]; then
            continue
        elif ! command -v "$compiler" >/dev/null; then
            skipped+=("  $arch ($purpose): no $compiler on the PATH")
            continue
        elif [ "$arch" = x64 ] && [[ $(gcc -dumpmachine) != x86_64-* ]]; then
            skipped+=("  $arch ($purpose): gcc here is for $(gcc -dumpmachine)")
            # Said in a set-up, too: virtual boards are what it is for.
            [ -z "$position" ] || echo "$position Native module for x64 ... skipped: gcc here is for" \
                "$(gcc -dumpmachine). Virtual boards run with the Python engine only"
            continue
        elif ! has_headers "$compiler" && ! { [ "$arch" = rv32imc ] && has_headers "$compiler" -idirafter "$NEWLIB"; }; then
            skipped+=("  $arch ($purpose): $compiler has no C library headers")
            continue
        fi
        step "$position Native module for $arch" "native-$arch" build "$arch"
        rodata=$(size_of rodata "$arch")
        table+=$'\n'$(row "$arch" "$(size_of text "$arch")" "${rodata:-0}" "$(size_of bss "$arch")" \
            "$(stat -c %s "$native/$arch/_picolink.mpy")" "$purpose")
    done <<<"${architectures#$'\n'}"
}
# For `import picolink` on this PC; without Python.h it has the engine in Python.
build_for_python() {
    "$VENV/bin/python" -c 'from picolink_pc import c_engine; print(c_engine.install())'
}
position=${1:-} only=${2:-}
build_all
[ -n "$only" ] || step "$position Native module for this PC's Python" native-cpython build_for_python
# As one of the steps of a set-up, no more than that.
[ -z "$position$only" ] || exit 0
printf '\nIn build/out/native/ (bytes):\n%s\n' "$table"
[ ${#skipped[@]} -eq 0 ] || { printf '\nSkipped:\n'; printf '%s\n' "${skipped[@]}"; }
