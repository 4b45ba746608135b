#!/usr/bin/env bash
# usage: tests/bench/wordpiece.sh
# WordPiece on one thread, nermill beside Hugging Face's tokenizers (Rust): MB/s of BC5CDR's and TDMSci's sentences,
# every id equal.  A table, then a JSON line.  Environment: as train.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "wordpiece.sh: set NERMILL_DATA to the directory that holds bc5cdr/ and tdmsci/" >&2
    exit 3
fi
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
[ -n "${NERMILL_TORCH_PYTHON:-}" ] || eval "$(tests/bench/setup.sh)"
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target bench_wordpiece >/dev/null
fi
exec "$NERMILL_TORCH_PYTHON" tests/bench/wordpiece.py "$build/bin/bench_wordpiece" "$NERMILL_ENCODER" "$NERMILL_DATA"
