#!/usr/bin/env bash
# usage: tests/bench/predict.sh [--sentences N] [--rounds N] [--threads N] [--quick]
# Tagging BC5CDR's test sentences with MiniLM-L6: tokens/s of nermill predict, and of transformers with batches sorted by
# length, its best; in fp32 and in bf16, in turns, in one run.  The tags must be the same.  A table, then JSON lines.
# Environment: see trainer.bash.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/trainer.bash" nermill-trainer
exec "$NERMILL_TORCH_PYTHON" tests/bench/predict.py --program "$bin/nermill-trainer" --model "$NERMILL_ENCODER" \
    --train "$NERMILL_DATA/bc5cdr/train.tsv" --input "$NERMILL_DATA/bc5cdr/test.tsv" "$@"
