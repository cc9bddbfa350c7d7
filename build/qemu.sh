#!/usr/bin/env bash
# Builds MicroPython's qemu port for the tests of the native modules:  build/qemu.sh
#   build/out/qemu/arm.elf        Cortex-M4F, for qemu-system-arm -machine mps2-an386; loads every ARM module
#   build/out/qemu/riscv32.elf    for qemu-system-riscv32 -machine virt
source "$(dirname "$0")/common.sh"
port=$MICROPYTHON/ports/qemu
[ -d "$port" ] || fail "$(readlink -f "$MICROPYTHON") has no ports/qemu, which runs our tests of native modules: use MicroPython 1.24 or newer."

build() { # build NAME BOARD MAKE-ARGUMENT...
    local work=$OUT/qemu/$1-build name=$1 board=$2
    shift 2
    rm -rf "$work"
    # No frozen modules; the heap is a Pico's, with 64 KiB for the tests themselves.
    make -C "$port" -j"$JOBS" BOARD="$board" BUILD="$work" PYTHON="$VENV/bin/python" MICROPY_HEAP_SIZE=327680 \
        MICROPY_MPYCROSS="$MPY_CROSS" MICROPY_MPYCROSS_DEPENDENCY= MPY_LIB_DIR="$NO_LIB" FROZEN_MANIFEST= "$@"
    mv "$work/firmware.elf" "$OUT/qemu/$name.elf"
}

# The board is a Cortex-M3; the same image for an M4F, whose memory and serial port are the same, loads armv7emsp too.
# The port would ask for libgcc with both boards' flags, and the compiler then names the one in ARM mode, which no Cortex-M
# runs (and which newer linkers refuse).
arm() {
    local m4f="-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=softfp"
    # shellcheck disable=SC2086 # several options
    build arm MPS2_AN385 CFLAGS_EXTRA="$m4f" LIBS="$(arm-none-eabi-gcc -mthumb $m4f -print-libgcc-file-name)"
}

# No C library is needed, only headers. Debian's compiler has libgcc for rv32imac, but not for the name that newer
# versions of the instruction set give to the same.
riscv32() {
    build riscv32 VIRT_RV32 RV32_ARCH="rv32imac -misa-spec=2.2" PICOLIBC_SPECS=picolibc.specs \
        CFLAGS_EXTRA="-idirafter $NEWLIB" LIBS="-nostdlib -lgcc"
}

mkdir -p "$OUT/qemu"
step "MicroPython for QEMU, ARM, about 20 s" qemu-arm arm
step "MicroPython for QEMU, RISC-V, about 20 s" qemu-riscv32 riscv32
