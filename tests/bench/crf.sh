#!/bin/sh
# usage: tests/bench/crf.sh [SENTENCES [EPOCHS [SEED...]]]
# What a CRF layer is worth: MiniLM-L6 on the first SENTENCES (500) gold sentences of BC5CDR's train part, EPOCHS (10), for each
# SEED (13) with the layer and without it, and without it the best tags that are BIO; F1, F1 by IOB2's letter and calibration
# on devel, tokens/s of the training.  A table, then JSON lines.  Some five minutes a seed on two idle cores.
#
# NERMILL_DATA         the directory that holds bc5cdr/{train,devel}.tsv
# NERMILL_ENCODER      MiniLM-L6 as a Hugging Face directory (default: what deploy/setup-models.sh unpacks)
# NERMILL_BENCH_BUILD  a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/build.sh
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "crf.sh: set NERMILL_DATA to the directory that holds bc5cdr/" >&2
    exit 3
fi
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
export NERMILL_ENCODER
bench_build nermill-trainer
exec python3 tests/bench/crf.py "$build/bin/nermill-trainer" "$@"
