#!/usr/bin/env bash
# Makes a release in build/out/dist (build/dist.py says what is in it):  build/dist.sh
# With MPY_DIR, a full MicroPython checkout, firmware for the boards with a radio, too.
source "$(dirname "$0")/common.sh"

firmware=()
if [ -n "${MPY_DIR:-}" ]; then
    for board in RPI_PICO_W RPI_PICO2_W; do
        "$ROOT/build/firmware.sh" "$board"
        firmware+=("$OUT/firmware/picolink-$VERSION-$board.uf2")
    done
fi
step "Wheel, source, files for boards, checksums" dist "$VENV/bin/python" "$ROOT/build/dist.py" "${firmware[@]}"
[ -n "${MPY_DIR:-}" ] || echo "Without firmware: that of a Pico W is built from a MicroPython checkout (make dist MPY_DIR=../micropython)."
printf '\nIn build/out/dist:\n'
cd "$OUT/dist"
du -ab --exclude=./mip . | sort -k2 | sed -n 's/\t\.\//  /p'
echo '  mip/'
