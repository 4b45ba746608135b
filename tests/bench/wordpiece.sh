#!/usr/bin/env bash
# usage: tests/bench/wordpiece.sh
# WordPiece on one thread, nermill beside Hugging Face's tokenizers (Rust): MB/s of BC5CDR's and TDMSci's sentences,
# every id equal.  A table, then a JSON line.
# Environment: see trainer.bash.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/trainer.bash" bench_wordpiece
exec "$NERMILL_TORCH_PYTHON" tests/bench/wordpiece.py "$bin/bench_wordpiece" "$NERMILL_ENCODER" "$NERMILL_DATA"
