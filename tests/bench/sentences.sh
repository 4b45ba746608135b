#!/bin/sh
# usage: tests/bench/sentences.sh [SAMPLES]
# What asking for 1, 3 and 5 sentences in one call does with a real model on BC5CDR's train lists: share of the sentences that
# are accepted, calls for each of those, and accepted samples a minute; asked freely and constrained, one attempt each, SAMPLES
# sentences (default 60).  A table, then JSON lines.
#
# NERMILL_DATA, NERMILL_PYTHON, NERMILL_GGUF   bc5cdr/train.tsv; the others as deploy/setup-models.sh prints them: the model
#                                              is the one that NERMILL_GGUF names
# NERMILL_BENCH_BUILD                          a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
for name in NERMILL_DATA NERMILL_PYTHON NERMILL_GGUF; do
    if eval "[ -z \"\${$name:-}\" ]"; then
        echo "sentences.sh: $name is not set: NERMILL_DATA holds bc5cdr/train.tsv, deploy/setup-models.sh prints the others" >&2
        exit 3
    fi
done
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill nermill-generator nermill-aligner >/dev/null
fi
exec python3 tests/bench/sentences.py "$build/bin" "${1:-60}"
