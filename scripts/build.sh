# shellcheck shell=bash
# Configuring and building by presets. Sourced by run.sh and test.sh, in the project's root.

# build_preset NAME DIRECTORY [CMAKE ARGUMENT]...: quiet but for warnings and faults where nobody watches.
build_preset() {
    local preset=$1 directory=$2 started=$SECONDS output quiet=()
    shift 2
    echo "building $directory ($preset)"
    if ! output=$(cmake --preset "$preset" "$@" 2>&1); then
        printf '%s\n' "$output" >&2
        return 1
    fi
    [ -t 1 ] || quiet=(-- --quiet)
    cmake --build "$directory" "${quiet[@]}" || return 1
    echo "built $directory in $((SECONDS - started)) s"
}
