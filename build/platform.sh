#!/usr/bin/env bash
# Builds what the wheels for Linux bring beyond the one for every system, into build/out/platform:
#   ARCHITECTURE/bin/micropython                 the MicroPython of virtual boards: one static file, on musl
#   ARCHITECTURE/native/aarch64/_picolink.py     there: what puts the engine inside it on sys.path
#   ARCHITECTURE/_picolink.abi3.so               the engine in C for CPython
#   ARCHITECTURE/licences/                       of what is inside
# ARCHITECTURE: x86_64, aarch64. Zig compiles for both, with C libraries of its own; pip brings it.
source "$(dirname "$0")/common.sh"
zig=$OUT/zig
platform=$OUT/platform
oldest_glibc=2.17   # the wheel's tag says so: build/hatch_build.py

get_zig() {
    [ -x "$zig/ziglang/zig" ] && [ "$zig/lock" -nt "$ROOT/build/zig.lock" ] && return
    rm -rf "$zig"
    "$VENV/bin/pip" --disable-pip-version-check install --require-hashes --no-deps --target "$zig" -r "$ROOT/build/zig.lock"
    touch "$zig/lock"
}

# compiler ARCHITECTURE: a command for MicroPython's make. Zig's linker does not know two of its options.
compiler() {
    cat >"$platform/$1-cc" <<SCRIPT
#!/usr/bin/env bash
arguments=()
for argument in "\$@"; do
    case \$argument in -Wl,-Map=* | -Wl,--cref) ;; *) arguments+=("\$argument") ;; esac
done
exec "$zig/ziglang/zig" cc -target $1-linux-musl "\${arguments[@]}"
SCRIPT
    chmod +x "$platform/$1-cc"
    echo "$platform/$1-cc"
}

micropython() { # micropython ARCHITECTURE
    local work=$platform/$1-build flags="-Wno-error -DMICROPY_GCREGS_SETJMP=1"
    rm -rf "$work"
    mkdir -p "$work/modules" "$platform/$1/bin"
    cp -r "$ROOT/py/picolink_pc/standin/native" "$work/modules/standin"
    # .mpy files can have native code for x86-64, not for aarch64. The engine inside gets another name: a board
    # without it does not find _picolink.
    if [ "$1" = aarch64 ]; then
        mkdir "$work/modules/picolink"
        cp "$ROOT"/native/*.c "$ROOT"/native/*.h "$ROOT/native/micropython.mk" "$work/modules/picolink/"
        flags+=" -DMP_QSTR__picolink=MP_QSTR__picolink_inside"
        mkdir -p "$platform/$1/native/aarch64"
        echo 'from _picolink_inside import Engine' >"$platform/$1/native/aarch64/_picolink.py"
    fi
    # The date is part of MicroPython's version. gcc only looks for names in the source.
    SOURCE_DATE_EPOCH=1580601600 \
        make -C "$MICROPYTHON/ports/unix" -j"$JOBS" BUILD="$work/unix" PYTHON="$VENV/bin/python" \
        CC="$(compiler "$1")" CPP="gcc -E" STRIP=true SIZE=true LDFLAGS_EXTRA="-static -s" CFLAGS_EXTRA="$flags" \
        MICROPY_MPYCROSS="$MPY_CROSS" MICROPY_MPYCROSS_DEPENDENCY= MPY_LIB_DIR="$NO_LIB" \
        FROZEN_MANIFEST="$ROOT/build/unix_manifest.py" USER_C_MODULES="$work/modules" \
        MICROPY_PY_FFI=0 MICROPY_PY_SSL=0 MICROPY_SSL_MBEDTLS=0 MICROPY_PY_BTREE=0 \
        MICROPY_VFS_FAT=0 MICROPY_VFS_LFS1=0 MICROPY_VFS_LFS2=0
    cp "$work/unix/micropython" "$platform/$1/bin/"
    rm -rf "$work"
}

for_cpython() { # for_cpython ARCHITECTURE
    local include work=$platform/python-headers
    include=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    # Debian keeps pyconfig.h by architecture. What the limited API needs of it is the same on both.
    rm -rf "$work"
    mkdir -p "$work"
    [ ! -d "/usr/include/$(uname -m)-linux-gnu" ] || ln -s "/usr/include/$(uname -m)-linux-gnu" "$work/$1-linux-gnu"
    (cd "$ROOT/native" && "$zig/ziglang/zig" cc -target "$1-linux-gnu.$oldest_glibc" -std=c99 -O2 -g0 -s -shared -fPIC -Wall -Wextra \
        -I. -isystem "$include" -isystem "$work" cpython/_picolink.c {picolink,crc32,aes,sha256}.c -o "$platform/$1/_picolink.abi3.so")
}

build() { # build ARCHITECTURE
    rm -rf "${platform:?}/$1"
    micropython "$1"
    for_cpython "$1"
    mkdir "$platform/$1/licences"
    cp "$MICROPYTHON/LICENSE" "$platform/$1/licences/MicroPython.txt"
    sed -n 's|^// ||p' "$MICROPYTHON/lib/re1.5/re1.5.h" >"$platform/$1/licences/re1.5.txt"
    cp "$zig/ziglang/lib/libc/musl/COPYRIGHT" "$platform/$1/licences/musl.txt"
    cp "$zig/ziglang/LICENSE" "$platform/$1/licences/Zig.txt"
}

mkdir -p "$platform"
step "The compiler Zig (100 MB), about 10 s" zig get_zig
for architecture in x86_64 aarch64; do
    step "MicroPython and engine for wheels: Linux, $architecture, about a minute" "platform-$architecture" build "$architecture"
done
