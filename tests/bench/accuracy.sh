#!/usr/bin/env bash
# usage: tests/bench/accuracy.sh DIR [SEED...]
# F1 on BC5CDR's test part after MiniLM-L6's fine-tuning on its train part, by one recipe: nermill in fp32 and in bf16,
# and transformers in fp32, length-grouped.  Default: seeds 13 to 17; about an hour on two idle cores.  DIR keeps what is
# done (DIR/ROW-SEED.json), so that it goes on where it was stopped, and gets curves.svg: the losses of a seed, laid
# over each other.  Tables, then JSON lines.
# Environment: see trainer.bash.
set -euo pipefail
dir=$(mkdir -p "${1:?DIR}" && cd "$1" && pwd)
shift
. "$(dirname "${BASH_SOURCE[0]}")/trainer.bash" nermill-trainer
exec "$NERMILL_TORCH_PYTHON" tests/bench/accuracy.py --program "$bin/nermill-trainer" --model "$NERMILL_ENCODER" \
    --train "$NERMILL_DATA/bc5cdr/train.tsv" --gold "$NERMILL_DATA/bc5cdr/test.tsv" --dir "$dir" \
    --seeds "${@:-13 14 15 16 17}"
