#!/bin/sh
# usage: tests/bench/crf.sh [SENTENCES [EPOCHS [SEED...]]]
# What a CRF layer is worth: MiniLM-L6 on the first SENTENCES (500) gold sentences of BC5CDR's train part, EPOCHS (10), for each
# SEED (13) with the layer and without it, and without it the best tags that are BIO; F1, F1 by IOB2's letter and calibration
# on devel, tokens/s of the training.  A table, then JSON lines.  Some five minutes a seed on two idle cores.
#
# NERMILL_DATA, NERMILL_ENCODER   bc5cdr/{train,devel}.tsv; the encoder as deploy/setup-models.sh prints it
# NERMILL_BENCH_BUILD             a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
for name in NERMILL_DATA NERMILL_ENCODER; do
    if eval "[ -z \"\${$name:-}\" ]"; then
        echo "crf.sh: $name is not set: NERMILL_DATA holds bc5cdr/, deploy/setup-models.sh prints the other" >&2
        exit 3
    fi
done
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill-trainer >/dev/null
fi
exec python3 tests/bench/crf.py "$build/bin/nermill-trainer" "$@"
