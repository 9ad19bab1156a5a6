#!/usr/bin/env bash
# Installs what the tests need, builds everything and runs all of it against real brokers and a real browser.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<TEXT
usage: ./test.sh [--full] [--list] [--release] [--asan] [--tsan] [FILTER]...

Installs the packages that are missing, builds and runs the tests; the last line counts them over all runners.

  --full      also what takes long: every conformance case, fuzzing, the build with clang
  --list      name the tests, run nothing
  --release, --asan, --tsan
              only the tests against these builds
  FILTER      regular expression over RUNNER/FILE/TITLE, e.g. '^e2e/', 'handshake', 'unit.typed'
TEXT
}

for argument in "$@"; do
    case $argument in
        --help | -h) usage; exit 0 ;;
        --full | --list | --release | --asan | --tsan) ;;
        -*) usage >&2; exit 64 ;;
    esac
done

# shellcheck source=scripts/packages.sh
. scripts/packages.sh
# shellcheck source=scripts/build.sh
. scripts/build.sh
# shellcheck source=scripts/web.sh
. scripts/web.sh

mapfile -t packages_node < <(packages_node_missing)
packages_install "${packages_run[@]}" "${packages_test[@]}" "${packages_node[@]}"

if [[ " $* " == *" --list "* ]]; then
    exec node tests/run.mjs "$@"
fi

if [ ! -e tests/node_modules/.package-lock.json ] || [ tests/package-lock.json -nt tests/node_modules/.package-lock.json ]; then
    echo "installing npm packages of the tests"
    npm ci --prefix tests --no-audit --no-fund --omit-lockfile-registry-resolved --loglevel=error
    touch tests/node_modules/.package-lock.json
fi

web_install

for build in $(node tests/run.mjs --builds "$@"); do
    case $build in
        release) build_preset release build -DCRIER_TESTS=ON ;;
        asan) build_preset asan build-asan ;;
        tsan) build_preset tsan build-tsan ;;
        fuzz) build_preset fuzz build-fuzz ;;
    esac
done

exec node tests/run.mjs "$@"
