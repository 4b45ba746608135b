#!/usr/bin/env bash
# usage: tests/bench/train.sh [--steps N] [--base-steps N] [--rounds N] [--threads N] [--quick]
# Fine-tuning MiniLM-L6 on BC5CDR, batch 32: real (unpadded) tokens/s of nermill, and of transformers as its examples
# do it, at its best in fp32 (length-grouped, fused AdamW), and that under bf16 autocast; then the same for BERT-base's
# shape with random weights.  In turns, in one run of about seven minutes on two idle cores; --quick only shows that it
# runs.  Beside the rates: the most memory that each process had, and the rate of OpenBLAS's plain matrix products at the
# model's shapes, of which training is a share.  Tables, then JSON lines.
# Environment: see trainer.bash.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/trainer.bash" nermill-trainer bench_train_step
exec "$NERMILL_TORCH_PYTHON" tests/bench/train.py --program "$bin/nermill-trainer" \
    --train-step "$bin/bench_train_step" --model "$NERMILL_ENCODER" \
    --train "$NERMILL_DATA/bc5cdr/train.tsv" --gold "$NERMILL_DATA/bc5cdr/test.tsv" "$@"
