#!/usr/bin/env bash
# Completes the MicroPython source for the firmware of BOARD:  build/firmware_source.sh BOARD [POSITION]
# Our copy of Debian's source package gets the libraries from other Debian packages; a checkout in MPY_DIR is only
# looked at.
source "$(dirname "$0")/common.sh"
board=$1 position=${2:-}
lib=$MICROPYTHON/lib

needed=(pico-sdk tinyusb mbedtls)
# What the board switches on, and the library for it.
for pair in MICROPY_BLUETOOTH_BTSTACK:btstack MICROPY_BLUETOOTH_NIMBLE:mynewt-nimble \
    MICROPY_PY_NETWORK_CYW43:cyw43-driver MICROPY_PY_LWIP:lwip; do
    ! board_has "$board" "${pair%:*}" || needed+=("${pair#*:}")
done
[ ! -L "$MICROPYTHON" ] || needed+=(micropython-lib)
missing=()
for library in "${needed[@]}"; do
    [ -n "$(ls -A "$lib/$library" 2>/dev/null)" ] || missing+=("lib/$library")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ -L "$MICROPYTHON" ]; then
    fail "The firmware of $board needs submodules that MPY_DIR lacks. Get them, then run make again:" \
        "  git -C $(readlink "$MICROPYTHON") submodule update --init --depth 1 ${missing[*]}"
elif [[ " ${missing[*]} " == *" lib/"@(btstack|mynewt-nimble|cyw43-driver|lwip)" "* ]]; then
    fail "The firmware of $board needs a full MicroPython checkout: Debian's source package lacks some of its libraries." \
        "  git clone --depth 1 --branch v1.28.0 https://github.com/micropython/micropython.git ../micropython" \
        "  git -C ../micropython submodule update --init --depth 1 $(printf 'lib/%s ' "${needed[@]}" micropython-lib)" \
        "  make firmware BOARD=$board MPY_DIR=../micropython"
fi

unpack() {
    local package=$ROOT/build/debian_package.sh
    "$package" files pico-sdk-source usr/src/pico-sdk "$lib/pico-sdk"
    "$package" files tinyusb-source usr/src/tinyusb "$lib/tinyusb"
    "$package" source mbedtls "$lib/mbedtls"
}
step "$position Pico SDK, TinyUSB and Mbed TLS from Debian's packages (20 MB), about 10 s" firmware-source unpack
