#!/bin/sh
# Builds the release preset and measures crier against a bare epoll server; docs/benchmarks.md describes the method.
#
#     tests/bench/run.sh [--quick] [--update-docs] [NAME...]
#
# NAMEs: fanout idle stream highest embedded kafka mapping polls channels; none means all. --quick: one short repetition, to see
# that everything works; its figures say little. --update-docs: writes the table into docs/benchmarks.md.
set -eu
cd "$(dirname "$0")/../.."
cmake --preset release >/dev/null
cmake --build --preset release >/dev/null
exec node tests/bench/run.mjs "$@"
