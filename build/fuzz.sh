#!/usr/bin/env bash
# Fuzzes the C engine and the reader of objects, then compares both with those in Python:  build/fuzz.sh
#   FUZZ_RUNS=N     inputs for each target of libFuzzer, and a hundredth of it for the comparison; default 10,000,000
# Targets: tests/fuzz/fuzz_*.c. What is found on the way stays in build/out/fuzz/ for the next run.
#   build/fuzz.sh minimize   makes tests/fuzz/corpus/ anew: the smallest inputs that reach what build/out/fuzz/ reaches
source "$(dirname "$0")/common.sh"
fuzz=$OUT/fuzz
targets=(feed structured keyed)

compile() {
    local warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
    local flags=(-std=c99 -O2 -g -fno-omit-frame-pointer -I"$ROOT/native" "${warnings[@]}"
        "-fsanitize=address,undefined" -fno-sanitize-recover=all)
    # Counters in the engine and in the target, not in the checks: they would take half of the time.
    local coverage=-fsanitize-coverage=inline-8bit-counters,pc-table
    clang "${flags[@]}" -c "$ROOT/tests/fuzz/side.c" -o "$fuzz/side.o"
    for file in crc32 aes sha256; do
        clang "${flags[@]}" -c "$ROOT/native/$file.c" -o "$fuzz/$file.o"
    done
    clang "${flags[@]}" "$coverage" -c "$ROOT/native/picolink.c" -o "$fuzz/picolink.o"
    for target in "${targets[@]}"; do
        clang "${flags[@]}" "$coverage" -c "$ROOT/tests/fuzz/fuzz_$target.c" -o "$fuzz/$target.o"
        clang "${flags[@]}" -fsanitize=fuzzer "$fuzz"/{"$target",side,crc32,aes,sha256,picolink}.o -o "$fuzz/fuzz_$target"
    done
    clang "${flags[@]}" -fsanitize=fuzzer -I"$ROOT/tests/fuzz/micropython" \
        "$ROOT"/{tests/fuzz/fuzz_objects,native/objects,native/msgpack}.c -o "$fuzz/fuzz_objects"
}

minimize() {
    for target in feed structured objects; do # "keyed" has the inputs of "structured"
        local made=$fuzz/minimized/$target kept=$ROOT/tests/fuzz/corpus/$target
        rm -rf "$made"
        mkdir -p "$made"
        "$fuzz/fuzz_$target" -merge=1 -use_counters=0 "$made" "$kept" "$fuzz/corpus/$target"
        rm -f "$kept"/*
        cp "$made"/* "$kept"
    done
}

mkdir -p "$fuzz"/corpus/{feed,structured,objects}
step "Fuzz targets with sanitizers" fuzz-compile compile
if [ "${1:-}" = minimize ]; then
    step "The smallest corpus" fuzz-minimize minimize
else
    exec "$VENV/bin/python" "$ROOT/tests/fuzz/long_run.py" "${FUZZ_RUNS:-10000000}"
fi
