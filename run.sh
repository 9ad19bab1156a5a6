#!/usr/bin/env bash
# Installs what crier needs, builds it and serves with config.toml.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<TEXT
usage: ./run.sh [--build] [--no-simulator] [ARGUMENT]...

Installs the Debian packages that are missing, builds crier into build/ and starts it in the foreground with config.toml.

  --build          install and build only
  --no-simulator   the bus map at /map/ stays empty until something else feeds it
  --help           this text

With config.toml a simulator of 1,500 buses, trams and trains runs beside the server and ends with it.

Everything else goes to 'crier run': -c FILE, -s KEY=VALUE, --ready-file FILE. Ctrl-C ends the server.
TEXT
}

build_only=false
simulator=true
vehicles=1500 # as many as the real city has on a working day; a tenth of one core for all of it
config=("-c" "$root/config.toml")
arguments=()
ready=
previous=
for argument in "$@"; do
    if [ "$previous" = --ready-file ]; then
        ready=$argument previous=
        continue
    fi
    previous=$argument
    case $argument in
        --ready-file) ;;
        --build) build_only=true ;;
        --no-simulator) simulator=false ;;
        --help | -h) usage; exit 0 ;;
        -c | --config | -c?* | --config=*) config=(); simulator=false; arguments+=("$argument") ;;
        --ready-file=*) ready=${argument#*=} ;;
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

# The simulator publishes with the key of the server API, which is made once.
new_api_key() {
    [ -s "$root/data/api.key" ] || (umask 077 && head -c 24 /dev/urandom | base64 >"$root/data/api.key")
}

# Waits until the server, whose process this shell becomes, says where it listens; then runs as its child.
simulate() {
    until [ -s "$ready" ]; do
        kill -0 $$ 2>/dev/null || exit 0
        sleep 0.1
    done
    exec "$root/build/crier-hfp" simulate --vehicles "$vehicles" --to "$(sed 's/.* at //' "$ready")" \
        --api-key-file "$root/data/api.key" --with-parent
}

[ -n "$ready" ] || ready=$root/data/ready
mkdir -p "$root/data"
rm -f "$ready"
if $simulator && [ -x "$root/build/crier-hfp" ]; then
    new_api_key
    config+=("-s" "auth.api_key_file=$root/data/api.key")
    simulate &
    echo "a simulated city of $vehicles vehicles drives on the map at /map/; ./run.sh --no-simulator leaves it out"
fi
echo "starting crier; open the address it prints in a browser, in two windows to chat with yourself. Ctrl-C ends it."
exec "$root/build/crier" run "${config[@]}" --ready-file "$ready" "${arguments[@]}"
