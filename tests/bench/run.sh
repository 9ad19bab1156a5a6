#!/bin/sh
# Builds the release preset and measures crier against a bare epoll server; docs/benchmarks.md describes the method.
#
#     tests/bench/run.sh [--quick] [--patience SECONDS] [--update-docs] [NAME...]
#
# NAMEs: fanout idle stream highest embedded kafka mapping polls channels map; none means all. --quick: one short repetition, to see
# that everything works; its figures say little. --update-docs: writes the tables into docs/benchmarks.md.
# --patience: how long it waits in all for others to leave the machine alone, and repeats what they disturbed (300).
set -eu
case " $* " in
*" --help "* | *" -h "*)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
    exit ;;
esac
cd "$(dirname "$0")/../.."
cmake --preset release >/dev/null
cmake --build --preset release >/dev/null
exec node tests/bench/run.mjs "$@"
