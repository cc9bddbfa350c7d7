#!/usr/bin/env bash
# Downloads what the wheel depends on into build/out/wheelhouse, for the tests that install it without the network.
source "$(dirname "$0")/common.sh"

download() {
    rm -rf "$OUT/wheelhouse"
    # In the versions of the lock file.
    sed '/^ *--hash/d; s/ \\$//' "$ROOT/build/requirements.lock" >"$OUT/wheelhouse-versions.txt"
    "$VENV/bin/python" - "$ROOT/pyproject.toml" >"$OUT/wheelhouse.txt" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["virtual"], sep="\n")
PYTHON
    "$VENV/bin/pip" --disable-pip-version-check download --only-binary :all: -d "$OUT/wheelhouse" \
        -c "$OUT/wheelhouse-versions.txt" -r "$OUT/wheelhouse.txt"
}
step "Packages that the wheel depends on, about 10 s" wheelhouse download
