#!/bin/sh
# usage: tests/bench/strategies.sh [SAMPLES]
# What a strategy costs with the real SmolLM2-135M on BC5CDR's train lists, in natural text again: accepted share of the
# answers, accepted samples a minute, calls for each accepted sample; asked freely, with corrective retries, constrained
# at the last attempt, constrained at once, and in markup mode.  SAMPLES tasks each (default 100).  A table, then JSON
# lines.
#
# NERMILL_DATA, NERMILL_PYTHON, NERMILL_GGUF   bc5cdr/train.tsv; the others as deploy/setup-models.sh prints them
# NERMILL_BENCH_BUILD                          a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
for name in NERMILL_DATA NERMILL_PYTHON NERMILL_GGUF; do
    if eval "[ -z \"\${$name:-}\" ]"; then
        echo "strategies.sh: $name is not set: NERMILL_DATA holds bc5cdr/train.tsv, deploy/setup-models.sh prints the others" >&2
        exit 3
    fi
done
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill nermill-generator nermill-aligner >/dev/null
fi
exec python3 tests/bench/strategies.py "$build/bin" "${1:-100}"
