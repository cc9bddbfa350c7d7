#!/usr/bin/env bash
# The commands that need no board, with the picolink that is installed: as a new user, on any system with bash.
# .github/workflows/test.yml runs this on Linux, Windows and macOS; tests/test_platform_wheels.py does here.
#   build/try_commands.sh
# Nothing but bash, python and picolink.
set -euo pipefail
examples=${0%/*}/../examples

try() { # try COMMAND...: what it printed is in $said
    printf '\n$ %s\n' "$*"
    said=$("$@" 2>&1) || { echo "$said"; return 1; }
    echo "$said"
}
says() { # says TEXT
    case $said in *"$1"*) ;; *) echo "it does not say: $1" >&2; exit 1 ;; esac
}

try picolink --version
says "picolink, version"
try picolink
says "two virtual ones"
try python -m picolink_pc --help
says "Put picolink onto a board"
for command in install flash doctor scan chat send monitor; do
    try picolink $command --help
    says "Usage: picolink $command"
done
# There is no board: said, with exit code 1.
status=0
said=$(picolink doctor 2>&1) || status=$?
echo "$said"
[ $status = 1 ]
says "no board found"

try picolink demo --seconds 2
says "received: Hello from Pico B!"
try picolink run --seconds 10 "$examples/pico_a.py" "$examples/pico_b.py"
says "received: Hello from Pico A!"
says "received: Hello from Pico B!"
try picolink run --boards cpython --seconds 15 "$examples/pico_a.py" "$examples/pico_b.py"
says "received: Hello from Pico A!"
printf '\nAll commands work.\n'
