# shellcheck shell=bash disable=SC2034
# Debian packages of the project and how they get onto the machine. Sourced by run.sh and test.sh.
# docs/dependencies.md says what each is for.

packages_run=(
    gcc g++ libc6-dev cmake ninja-build pkg-config
    libwebsockets-dev libwebsockets-evlib-uv libuv1-dev libssl-dev zlib1g-dev
    libjansson-dev libsqlite3-dev libprotobuf-c-dev protobuf-c-compiler uthash-dev libtomlplusplus-dev
    librdkafka-dev libpaho-mqtt-dev
)
packages_test=(
    libcmocka-dev clang libclang-rt-14-dev
    openjdk-17-jre-headless maven kcat
    mosquitto mosquitto-clients openssl
    chromium fonts-dejavu-core
    python3 python3-venv
    ca-certificates curl procps
)
# Packages that bring a daemon: the tests start their own copies, the system's must not run.
packages_daemons=(mosquitto)

package_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Debian's nodejs is taken only where no usable Node.js is there already.
packages_node_missing() {
    local major
    major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
    [ "$major" -ge 18 ] || echo nodejs
    command -v npm >/dev/null || echo npm
}

packages_missing() {
    local package
    for package in "$@"; do
        package_installed "$package" || echo "$package"
    done
}

# Runs a command as root, or says how the caller can.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        echo "packages are missing, and this is neither root nor can it use sudo. As root:" >&2
        echo "  apt-get update && apt-get install --no-install-recommends $packages_wanted" >&2
        return 1
    fi
}

# One line every 25 packages instead of the thousands that apt writes.
packages_progress() {
    awk -v total="$1" '/^Setting up /{ if (++n % 25 == 0 || n == total) { print "  " n " of " total " packages"; fflush() } }'
}

# Runs as root in a shell of its own. Daemons of new packages neither start now nor at the next boot.
packages_install_as_root() {
    local guard=/usr/sbin/policy-rc.d total package
    log=$(mktemp)
    guarded=false
    trap '[ "$guarded" = false ] || rm -f /usr/sbin/policy-rc.d; rm -f "$log"' EXIT
    if [ ! -e "$guard" ]; then
        guarded=true
        printf '#!/bin/sh\nexit 101\n' >"$guard" && chmod 755 "$guard"
    fi
    apt-get update -qq >>"$log" 2>&1 || echo "apt-get update failed; trying with the lists that are there" >&2
    total=$(apt-get install -s -y --no-install-recommends "$@" 2>>"$log" | grep -c '^Inst ' || true)
    echo "  $total packages with all they need"
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null 2>&1 \
        | tee -a "$log" | packages_progress "$total"; then
        tail -n 20 "$log" >&2
        return 1
    fi
    for package in "${packages_daemons[@]}"; do
        [[ " $* " != *" $package "* ]] || systemctl disable -q "$package" >>"$log" 2>&1 || true
    done
}

# Installs what is missing of the given packages; with nothing missing it needs no root and no network.
packages_install() {
    local missing
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    packages_wanted="${missing[*]}"
    echo "installing Debian packages: $packages_wanted"
    as_root bash -c "set -uo pipefail; $(declare -p packages_daemons)
        $(declare -f packages_progress packages_install_as_root)
        packages_install_as_root \"\$@\"" bash "${missing[@]}"
}
