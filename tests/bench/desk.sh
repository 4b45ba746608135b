#!/bin/sh
# usage: tests/bench/desk.sh [--rounds N]
# How long each of the operator's commands takes to act on a live run: a broker, a generator and an aligner beside a
# scripted endpoint that answers after 20 ms.  Every time is from the start of the command's process until the effect
# is seen from outside: at the endpoint, or in the broker's own answer.  A table, then JSON lines; some 30 seconds.
#
# NERMILL_BENCH_BUILD        a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/build.sh
bench_build nermill nermill-broker nermill-generator nermill-aligner
NM_BIN=$(realpath "$build/bin") PYTHONPATH=tests/integration exec python3 tests/bench/desk.py "$@"
