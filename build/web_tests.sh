#!/usr/bin/env bash
# Puts what the tests of the page need of npm into build/out/web-tests: axe-core, which finds what is in the way of people.
source "$(dirname "$0")/common.sh"

install() {
    rm -rf "$OUT/web-tests"
    mkdir -p "$OUT/web-tests"
    cp "$ROOT"/tests/web/package*.json "$OUT/web-tests/"
    cd "$OUT/web-tests"
    npm ci --ignore-scripts --no-audit --no-fund
}
step "What the tests of the page need, about 5 s" web-tests install
