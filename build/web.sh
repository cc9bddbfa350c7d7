#!/usr/bin/env bash
# Builds the page and picolink.js into build/out/web, the folder for a web server and for npm pack:  build/web.sh
# picolink.wasm is the C core, compiled by Debian's clang, lld and binaryen; without keys, too, into web-without-keys.
# esbuild, Debian's too, joins web/src to picolink.js; what a page may need besides are modules of their own: picolink-*.js.
source "$(dirname "$0")/common.sh"
web=$OUT/web

# compile FILE KEYS: the core, so that it needs nothing of C's library or of JavaScript.   KEYS: 1 or 0, without.
compile() {
    local sources=("$ROOT"/native/{picolink,crc32}.c)
    [ "$2" = 0 ] || sources+=("$ROOT"/native/{aes,sha256}.c)
    clang --target=wasm32 -std=c99 -Oz -fno-inline-functions -ffreestanding -fno-builtin -nostdlib -Wall -Wextra \
        -DPICOLINK_KEYS="$2" -I"$ROOT/native" -isystem "$ROOT/native/wasm" \
        "${sources[@]}" "$ROOT/native/wasm/picolink_wasm.c" \
        -Wl,--no-entry,--strip-all,-z,stack-size=8192 -o "$1.part"
    wasm-opt -Oz --converge "$1.part" -o "$1"
    rm "$1.part"
}

build() {
    rm -rf "$web.part" "$web-without-keys"
    mkdir -p "$web.part" "$web-without-keys"
    compile "$web.part/picolink.wasm" 1
    compile "$web-without-keys/picolink.wasm" 0
    esbuild "$ROOT"/web/src/picolink*.js --bundle --minify --format=esm --target=es2022 --log-level=warning \
        --external:node:* --external:./picolink-* --external:./picolink.js --outdir="$web.part"
    cp "$ROOT"/web/src/*.d.ts "$ROOT"/web/page/* "$ROOT/LICENSE" "$ROOT/web/package.json" "$web.part/"
    sed -i "s/@VERSION@/$VERSION/" "$web.part/package.json" "$web.part/service-worker.js"
    rm -rf "$web"
    mv "$web.part" "$web"
}
step "picolink.js and its page, into build/out/web" web build
for file in "$web"/picolink*.{wasm,js} "$web-without-keys/picolink.wasm"; do
    printf '  %-32s %6d bytes, %6d compressed\n' "${file#"$OUT/"}" "$(stat -c %s "$file")" "$(gzip -9 <"$file" | wc -c)"
done
