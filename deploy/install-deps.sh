#!/usr/bin/env bash
# install-deps.sh - the one list of what nermill needs from the system, for Debian 12 and Ubuntu 24.04.
#
#   deploy/install-deps.sh             build and run
#   deploy/install-deps.sh --dev       and test, format, lint, fuzz
#   deploy/install-deps.sh --bench     and run the peers of tests/bench/*.sh (which are started by them alone), and nginx
#   deploy/install-deps.sh --runtime   run a built nermill only (the Dockerfile's last stage)
#
# Quick when everything is there (it asks dpkg, not the network).  As root it installs what is missing; as anyone
# else it names what is missing and the command that installs it, and fails.
set -euo pipefail

# The model set-up and the scripts (deploy/*.sh) need Python, curl and jq at run time too.
runtime="libczmq4 libmsgpackc2|libmsgpack-c2 liblmdb0 libcurl4|libcurl4t64 libjansson4 libmicrohttpd12|libmicrohttpd12t64 libcyaml1 libutf8proc2|libutf8proc3
    libxxhash0 zlib1g libopenblas0-pthread ca-certificates python3 python3-venv curl jq"
build="build-essential cmake ninja-build pkg-config libczmq-dev libzmq3-dev libmsgpack-c-dev|libmsgpack-dev liblmdb-dev
    libcurl4-openssl-dev libjansson-dev libmicrohttpd-dev libcyaml-dev libutf8proc-dev libxxhash-dev zlib1g-dev libopenblas-pthread-dev
    libcmocka-dev ca-certificates python3 python3-venv curl jq"
# The formatter and the linter are of one version everywhere, so that they say the same everywhere.
dev="git clang libclang-rt-18-dev|libclang-rt-14-dev libomp-18-dev|libomp-14-dev libopenmpi-dev openmpi-bin clang-format-14 clang-tidy-14"
bench="beanstalkd redis-server nginx-light|nginx"

say() { printf 'install-deps: %s\n' "$*" >&2; }
installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

list=$build
case ${1:-} in
"") ;;
--dev) list="$build $dev" ;;
--bench) list="$build $bench" ;;
--runtime) list=$runtime ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    say "this is neither Debian nor Ubuntu; install by hand what stands behind these packages, then build with cmake:"
    say "$(echo $list)"
    exit 1
fi

# a|b: either will do; the first that the system's package lists know is the one to install.
missing=()
for want in $list; do
    found=
    for package in ${want//|/ }; do
        if installed "$package"; then
            found=$package
            break
        fi
    done
    [ -n "$found" ] || missing+=("$want")
done
if [ ${#missing[@]} = 0 ]; then
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    say "missing: ${missing[*]}"
    say "install them with:  sudo $0 ${1:-}"
    exit 1
fi

known() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }
export DEBIAN_FRONTEND=noninteractive
say "installing: ${missing[*]}"
apt-get -qq -o DPkg::Lock::Timeout=300 update || say "the package lists could not be refreshed; trying with those that are here"
packages=()
for want in "${missing[@]}"; do
    chosen=
    for package in ${want//|/ }; do
        if known "$package"; then
            chosen=$package
            break
        fi
    done
    if [ -z "$chosen" ]; then
        say "no package '$want' for this system; Debian 12 and Ubuntu 24.04 (with 'universe') have it"
        exit 1
    fi
    packages+=("$chosen")
done
if ! apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${packages[@]}" >/dev/null; then
    say "apt-get could not install: ${packages[*]}"
    exit 1
fi
