#!/usr/bin/env bash
# WebSocket conformance: the Autobahn cases (kosoku from PyPI) against the echo endpoint of crier.
#   tests/conformance/run.sh [--full] [--group N]...
# Without --full: groups 1-7 and 10. Last line: "N passed, N failed, N skipped"; exit 1 when one failed.
# CRIER names the binary (default build/crier); CONFORMANCE_URL a server that runs already.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=$root/.cache/kosoku
crier=${CRIER:-$root/build/crier}
version=0.1.0
case_count=247
groups=(1 2 3 4 5 6 7 10)
picked=()

while [ $# -gt 0 ]; do
    case $1 in
    --full) groups=(1 2 3 4 5 6 7 9 10 12 13); case_count=517 ;;
    --group) picked+=("$2"); shift ;;
    *) echo "usage: $0 [--full] [--group N]..." >&2; exit 64 ;;
    esac
    shift
done
[ ${#picked[@]} -eq 0 ] || groups=("${picked[@]}")

set_up_kosoku() {
    local ready
    ready=$cache/ready-$version-$(cksum < "$root/tests/conformance/patch_kosoku.py" | cut -d' ' -f1)
    [ -f "$ready" ] && return 0
    rm -rf "$cache"
    mkdir -p "$cache"
    python3 -m venv "$cache/venv" || return 1
    "$cache/venv/bin/pip" install -q --disable-pip-version-check "kosoku==$version" || return 1
    "$cache/venv/bin/python3" "$root/tests/conformance/patch_kosoku.py" || exit 1
    touch "$ready"
}

start_crier() {
    work=$(mktemp -d)
    touch "$work/out"
    printf '[server]\nlisten = "127.0.0.1:0"\nweb = ""\n[debug]\necho = true\n' > "$work/config.toml"
    (cd "$work" && exec "$crier" run -c config.toml) > "$work/out" 2> "$work/log" &
    pid=$!
    trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$work"' EXIT
    for _ in $(seq 100); do
        address=$(sed -n 's#^crier ready at http://##p' "$work/out")
        [ -n "$address" ] && return 0
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/log" >&2
    echo "crier did not start" >&2
    exit 1
}

if ! set_up_kosoku; then
    echo "SKIP conformance: kosoku $version cannot be had from PyPI"
    echo "0 passed, 0 failed, $case_count skipped"
    exit 0
fi
if [ -z "${CONFORMANCE_URL:-}" ]; then
    start_crier
    CONFORMANCE_URL=ws://$address/ws/echo
fi
"$cache/venv/bin/python3" "$root/tests/conformance/run_groups.py" "$CONFORMANCE_URL" "${groups[@]}"
