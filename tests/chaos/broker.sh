#!/usr/bin/env bash
# broker.sh - the long form of the broker's crash tests: 200 kills at random moments under load, then 200 deaths on a
# disk that refuses, shortens, tears and loses writes, or loses power.  ctest runs short forms of both.
#
#   tests/chaos/broker.sh [KILLS]       NERMILL_BUILD: a build directory (default: build/release, which is built)
#
# Last, a disk that lies about its flushes: the test must find that out, or it shows nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kills=${1:-200}
build=${NERMILL_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill-broker broker_chaos failing_disk >/dev/null
fi
chaos=$build/bin/broker_chaos
broker=$build/bin/nermill-broker
disk=$(realpath "$build/tests/libfailing_disk.so")

echo "== $kills kills"
"$chaos" --kills "$kills" --seed 7 "$broker"
echo "== $kills deaths with a failing disk"
"$chaos" --kills "$kills" --seed 8 --disk "$disk" "$broker"
echo "== a disk that lies must be found out"
for seed in 1 2 3; do
    log=$(mktemp)
    if ! NERMILL_DISK_LIES=1 "$chaos" --kills 30 --seed "$seed" --fails 100 --disk "$disk" "$broker" >"$log" 2>&1; then
        grep -m1 '^broker test:' "$log"
        sed -n 's/^broker test: everything is kept in //p' "$log" | xargs -r rm -rf
        rm -f "$log"
        echo "found out"
        exit 0
    fi
    rm -f "$log"
done
echo "broker.sh: a disk that lied about its flushes was not noticed" >&2
exit 1
