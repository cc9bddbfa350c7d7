#!/usr/bin/env bash
# Completes the MicroPython source for the firmware of BOARD:  build/firmware_source.sh BOARD [POSITION]
# In our copy of Debian's source package, the libraries come from Debian's source packages too; a checkout in MPY_DIR
# is only looked at.
source "$(dirname "$0")/common.sh"
board=$1 position=${2:-}
lib=$MICROPYTHON/lib

if [ -L "$MICROPYTHON" ]; then
    needed=(pico-sdk tinyusb mbedtls micropython-lib)
    case $board in RPI_PICO*_W*) needed+=(btstack cyw43-driver lwip) ;; esac
    missing=()
    for library in "${needed[@]}"; do
        [ -n "$(ls -A "$lib/$library" 2>/dev/null)" ] || missing+=("lib/$library")
    done
    [ ${#missing[@]} -eq 0 ] || fail "MPY_DIR lacks the submodules that $board needs: ${missing[*]}" "Get them:" \
        "  git -C $(readlink "$MICROPYTHON") submodule update --init --depth 1 ${missing[*]}"
    exit 0
fi

[ "$board" = RPI_PICO ] || fail "Firmware for $board needs a full MicroPython checkout: Debian's source package has no Bluetooth stack." \
    "  git clone --branch v1.27.0 https://github.com/micropython/micropython.git" \
    "  make -C micropython/ports/rp2 BOARD=${board%%-*} submodules" \
    "  make firmware BOARD=$board MPY_DIR=\$PWD/micropython"

unpack() {
    local package="$ROOT/build/debian_package.sh"
    "$package" files pico-sdk-source usr/src/pico-sdk "$lib/pico-sdk"
    "$package" files tinyusb-source usr/src/tinyusb "$lib/tinyusb"
    "$package" source mbedtls "$lib/mbedtls"
}
step "$position Pico SDK, TinyUSB and Mbed TLS from Debian's packages (20 MB), about 10 s" firmware-source unpack
