# shellcheck shell=bash
# Files that the pages take from npm, pinned in scripts/web/package-lock.json. Sourced by run.sh and test.sh, in the
# project's root. Only what a page loads goes into web/vendor/, which is outside of git.

web_files=(maplibre-gl.mjs maplibre-gl-worker.mjs maplibre-gl.css)

# The lock file is copied last: it says that all the rest is there.
web_install() {
    local lock=scripts/web/package-lock.json vendor=web/vendor/maplibre-gl work=.cache/web file
    ! cmp -s "$lock" "$vendor/package-lock.json" || return 0
    echo "installing npm packages of the pages"
    mkdir -p "$work" "$vendor" && cp scripts/web/package.json "$lock" "$work/" || return 1
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved --loglevel=error || return 1
    for file in "${web_files[@]}"; do
        cp "$work/node_modules/maplibre-gl/dist/$file" "$vendor/" || return 1
    done
    cp "$work/node_modules/maplibre-gl/LICENSE.txt" "$vendor/" && cp "$lock" "$vendor/"
}
