#!/usr/bin/env bash
# Installs what crier needs, builds it and serves with config.toml.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<TEXT
usage: ./run.sh [--build] [ARGUMENT]...

Installs the Debian packages that are missing, builds crier into build/ and starts it in the foreground with config.toml.

  --build   install and build only
  --help    this text

Everything else goes to 'crier run': -c FILE, -s KEY=VALUE, --ready-file FILE. Ctrl-C ends the server.
TEXT
}

build_only=false
config=("-c" "$root/config.toml")
arguments=()
for argument in "$@"; do
    case $argument in
        --build) build_only=true ;;
        --help | -h) usage; exit 0 ;;
        -c | --config | -c?* | --config=*) config=(); arguments+=("$argument") ;;
        *) arguments+=("$argument") ;;
    esac
done

# shellcheck source=scripts/packages.sh
. "$root/scripts/packages.sh"
# shellcheck source=scripts/build.sh
. "$root/scripts/build.sh"
# shellcheck source=scripts/web.sh
. "$root/scripts/web.sh"

install_and_build() {
    cd "$root"
    mapfile -t packages_node < <(packages_node_missing)
    packages_install "${packages_run[@]}" "${packages_node[@]}"
    # A folder that test.sh has set up keeps its tests; a new one is quicker without.
    local tests=()
    [ -e build/CMakeCache.txt ] || tests=(-DCRIER_TESTS=OFF)
    build_preset release build "${tests[@]}"
    web_install || echo "the npm packages of the pages did not come: all works but the map at /map/" >&2
}

(install_and_build)
if $build_only; then
    echo "ready: ./run.sh starts it, or build/crier run"
    exit 0
fi
echo "starting crier; open the address it prints in a browser, in two windows to chat with yourself. Ctrl-C ends it."
exec "$root/build/crier" run "${config[@]}" "${arguments[@]}"
