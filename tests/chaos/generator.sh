#!/bin/sh
# generator.sh - the long form of the generator's crash test: 200 kills at random moments, some with the broker.  ctest runs
# a short form.
#
#   tests/chaos/generator.sh [KILLS]       NERMILL_BUILD: a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
build=${NERMILL_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill nermill-broker nermill-generator >/dev/null
fi
NM_BIN=$(realpath "$build/bin") exec python3 tests/chaos/generator.py --kills "${1:-200}"
