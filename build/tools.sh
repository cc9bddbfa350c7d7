#!/usr/bin/env bash
# Makes sure that the tools of the named groups are there:  build/tools.sh GROUP...
# On Debian and Ubuntu it installs what is missing, as root or with passwordless sudo; otherwise it says what to install.
source "$(dirname "$0")/common.sh"

has() { command -v "$1" >/dev/null; }
has_header() { echo "#include <$2>" | "$1" -E - >/dev/null 2>&1; }

has_python_header() {
    "$PYTHON" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null
}

# "Debian package | what it is for | check that it works", per group
group() {
    case $1 in
    host) cat <<'LIST' ;;
python3|everything on the PC|has "$PYTHON"
python3-venv|keeping our Python packages apart|"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null
python3-dev|the native engine for this PC's Python|has_python_header
gcc|C compiler|has gcc
libc6-dev|C library headers|has_header gcc stdio.h
make|build tool|has make
xz-utils|unpacking sources|has xz
pkg-config|finding libraries|has pkg-config
libffi-dev|MicroPython's unix port|has pkg-config && pkg-config --exists libffi
LIST
    arm) cat <<'LIST' ;;
gcc-arm-none-eabi|C compiler for the Pico|has arm-none-eabi-gcc
libnewlib-arm-none-eabi|C library for the Pico|has_header arm-none-eabi-gcc string.h
LIST
    firmware) cat <<'LIST' ;;
bzip2|unpacking sources|has bzip2
cmake|the Pico SDK's build tool|has cmake
g++|the Pico SDK's own tools|has g++
libstdc++-arm-none-eabi-newlib|C++ library for the Pico|echo '#include <new>' | arm-none-eabi-g++ -x c++ -E - >/dev/null 2>&1
LIST
    riscv-firmware) cat <<'LIST' ;;
gcc-riscv64-unknown-elf|C compiler for the RISC-V cores of the Pico 2|has riscv64-unknown-elf-gcc
picolibc-riscv64-unknown-elf|C library for them (1 GB on disk)|[ -r /usr/lib/picolibc/riscv64-unknown-elf/lib/rv32imac/ilp32/libc.a ]
LIST
    qemu) cat <<'LIST' ;;
qemu-system-arm|running native modules for ARM|has qemu-system-arm
qemu-system-misc|running native modules for RISC-V|has qemu-system-riscv32
gcc-riscv64-unknown-elf|C compiler for RISC-V|has riscv64-unknown-elf-gcc
LIST
    emulator) cat <<'LIST' ;;
nodejs|the emulated Pico|has node
npm|the emulated Pico|has npm
LIST
    web) cat <<'LIST' ;;
clang|compiling to WebAssembly|has clang
lld|compiling to WebAssembly|has wasm-ld
binaryen|compiling to WebAssembly|has wasm-opt
esbuild|joining picolink.js from its modules|has esbuild
nodejs|trying picolink.js|has node
npm|trying picolink.js|has npm
LIST
    browser) cat <<'LIST' ;;
chromium|trying the page in a browser (300 MB on disk)|has chromium
nodejs|checking the page|has node
npm|checking the page|has npm
LIST
    platform) cat <<'LIST' ;;
qemu-user|trying what the wheel for aarch64 brings|has qemu-aarch64
LIST
    broker) cat <<'LIST' ;;
mosquitto|a broker for the tests of the gateway|has mosquitto || [ -x /usr/sbin/mosquitto ]
LIST
    capture) cat <<'LIST' ;;
tshark|trying what shows captures in Wireshark (122 MB on disk)|has tshark
LIST
    fuzz) cat <<'LIST' ;;
clang|fuzzing the C engine|has clang
libclang-rt-dev|libFuzzer and the sanitizers|echo 'int LLVMFuzzerTestOneInput(const void *d, long n) { return 0; }' | clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null
LIST
    *) fail "build/tools.sh: no group of tools is called '$1'." ;;
    esac
}

missing=() reasons=()
for name in "$@"; do
    while IFS='|' read -r package purpose check; do
        eval "$check" && continue
        missing+=("$package")
        reasons+=("  $package ($purpose)")
    done < <(group "$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ! has apt-get; then
    fail "These tools are missing (by their Debian names):" "${reasons[@]}" "Install them with your package manager, then run make again."
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        fail "These Debian packages are missing:" "${reasons[@]}" "Install them, then run make again:" \
            "  sudo apt-get update && sudo apt-get install ${missing[*]}"
    fi
fi
printf 'Installing Debian packages that are missing:\n'
printf '%s\n' "${reasons[@]}"
# An index that cannot be renewed matters only if the packages are not found in the old one.
renew() { "${as_root[@]}" apt-get update || true; }
step "Reading the package index" apt-update renew
step "Installing ${missing[*]}" apt-install "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"
