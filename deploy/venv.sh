# venv.sh - pinned, hash-checked Python packages in the cache; sourced by the set-up scripts, which set $me, their
# name in messages.
#
# The cache is outside the checkout: ${NERMILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nermill}.

cache=${NERMILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nermill}
base_python=${PYTHON:-python3}

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# take_cache - make the cache, and wait for any other set-up that works in it; the lock ends with the script.
take_cache() {
    mkdir -p "$cache" || die "can't write to $cache; name another place with NERMILL_CACHE=DIR"
    exec 9>"$cache/setup.lock"
    flock -n 9 || { say "waiting for another set-up to end"; flock 9; }
}

check_python() {
    command -v "$base_python" >/dev/null || die "no $base_python here; run deploy/install-deps.sh"
    "$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$("$base_python" -V 2>&1) is too old; 3.10 or later is needed (name another with PYTHON=...)"
    "$base_python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$base_python has no venv; install the package python3-venv (deploy/install-deps.sh does)"
}

# make_venv DIR REQUIREMENTS WHAT - a Python environment with exactly those packages.  The marker is written last and
# names what it stands for: an environment without it, or of other pins, is made anew.
make_venv() {
    local want marker=$1/installed log=$1.log
    want=$(sha256sum <"$2")
    if [ -x "$1/bin/python" ] && [ "$(cat "$marker" 2>/dev/null)" = "$want" ]; then
        return
    fi
    check_python
    say "installing $3 into $1"
    "$base_python" -m venv --clear "$1" || die "can't make a Python environment in $1"
    if ! "$1/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --no-deps \
        --only-binary :all: --require-hashes -r "$2" >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        die "the packages of $2 could not be installed (all of it in $log); is there a network? A folder of wheels will do: PIP_FIND_LINKS=DIR PIP_NO_INDEX=1"
    fi
    echo "$want" >"$marker"
}
