#!/usr/bin/env bash
# usage: tests/bench/train.sh [--steps N] [--base-steps N] [--rounds N] [--threads N] [--quick]
# Fine-tuning MiniLM-L6 on BC5CDR, batch 32: real (unpadded) tokens/s of nermill, and of transformers as its examples
# do it, at its best in fp32 (length-grouped, fused AdamW), and that under bf16 autocast; then the same for BERT-base's
# shape with random weights.  In turns, in one run of about seven minutes on two idle cores; --quick only shows that it
# runs.  Beside the rates: the most memory that each process had, and the rate of OpenBLAS's plain matrix products at the
# model's shapes, of which training is a share.  Tables, then JSON lines.
#
# NERMILL_DATA           the directory that holds bc5cdr/train.tsv
# NERMILL_ENCODER        MiniLM-L6 as a Hugging Face directory (default: what deploy/setup-models.sh unpacks)
# NERMILL_TORCH_PYTHON   a Python with torch and transformers (default: what tests/bench/setup.sh makes)
# NERMILL_BENCH_BUILD    a build directory (default: build/release, which is built)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "train.sh: set NERMILL_DATA to the directory that holds bc5cdr/train.tsv" >&2
    exit 3
fi
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
[ -n "${NERMILL_TORCH_PYTHON:-}" ] || eval "$(tests/bench/setup.sh)"
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target nermill-trainer bench_train_step >/dev/null
fi
exec "$NERMILL_TORCH_PYTHON" tests/bench/train.py --program "$build/bin/nermill-trainer" \
    --train-step "$build/bin/bench_train_step" --model "$NERMILL_ENCODER" \
    --train "$NERMILL_DATA/bc5cdr/train.tsv" --gold "$NERMILL_DATA/bc5cdr/test.tsv" "$@"
