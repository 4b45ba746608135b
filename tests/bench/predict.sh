#!/usr/bin/env bash
# usage: tests/bench/predict.sh [--sentences N] [--rounds N] [--threads N] [--quick]
# Tagging BC5CDR's test sentences with MiniLM-L6: tokens/s of nermill predict, and of transformers with batches sorted by
# length, its best; in fp32 and in bf16, in turns, in one run.  The tags must be the same.  A table, then JSON lines.
#
# NERMILL_DATA           the directory that holds bc5cdr/train.tsv and bc5cdr/test.tsv
# NERMILL_ENCODER        MiniLM-L6 as a Hugging Face directory (default: what deploy/setup-models.sh unpacks)
# NERMILL_TORCH_PYTHON   a Python with torch and transformers (default: what tests/bench/setup.sh makes)
# NERMILL_BENCH_BUILD    a build directory (default: build/release, which is built)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "predict.sh: set NERMILL_DATA to the directory that holds bc5cdr/" >&2
    exit 3
fi
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
[ -n "${NERMILL_TORCH_PYTHON:-}" ] || eval "$(tests/bench/setup.sh)"
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill-trainer >/dev/null
fi
exec "$NERMILL_TORCH_PYTHON" tests/bench/predict.py --program "$build/bin/nermill-trainer" --model "$NERMILL_ENCODER" \
    --train "$NERMILL_DATA/bc5cdr/train.tsv" --input "$NERMILL_DATA/bc5cdr/test.tsv" "$@"
