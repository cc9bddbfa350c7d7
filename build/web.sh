#!/usr/bin/env bash
# Builds the page and picolink.js into build/out/web, the folder for a web server and for npm pack:  build/web.sh
# picolink.wasm is the C core, compiled by Debian's clang and lld; esbuild, Debian's too, joins web/src to picolink.js.
source "$(dirname "$0")/common.sh"
web=$OUT/web

# What web/src/engine.js calls.
functions=(engine_bytes init is_identity set_key keys_bytes partner set_partner start bye send record_limit end peek release
    commit pull feed take_flags wait pending acknowledged stats)

# compile FILE FLAG...: the core, so that it needs nothing of C's library or of JavaScript.
compile() {
    clang --target=wasm32 -std=c99 -Oz -flto -ffreestanding -fno-builtin -nostdlib -Wall -Wextra \
        -I"$ROOT/native" -isystem "$ROOT/native/wasm" "$ROOT"/native/{picolink,crc32,aes,sha256}.c "$ROOT/native/wasm/picolink_wasm.c" \
        -Wl,--no-entry,--strip-all,-z,stack-size=8192,--export=__heap_base "${functions[@]/#/-Wl,--export=picolink_}" -o "$1"
}

build() {
    rm -rf "$web.part"
    mkdir -p "$web.part"
    compile "$web.part/picolink.wasm"
    esbuild "$ROOT/web/src/picolink.js" --bundle --minify --format=esm --target=es2022 --log-level=warning \
        --external:node:* --outfile="$web.part/picolink.js"
    cp "$ROOT"/web/src/picolink-timer.js "$ROOT"/web/src/picolink.d.ts "$ROOT"/web/page/* "$ROOT/LICENSE" "$web.part/"
    cp "$ROOT/web/package.json" "$web.part/"
    sed -i "s/@VERSION@/$VERSION/" "$web.part/package.json" "$web.part/service-worker.js"
    rm -rf "$web"
    mv "$web.part" "$web"
}
step "picolink.js and its page, into build/out/web" web build
for file in picolink.wasm picolink.js; do
    printf '  %-14s %6d bytes, %6d compressed\n' "$file" "$(stat -c %s "$web/$file")" "$(gzip -9 <"$web/$file" | wc -c)"
done
