#!/bin/sh
# usage: tests/bench/aligner.sh
# Text in, mentions out: MB/s of tokenise + match on one core beside spaCy's tokeniser + PhraseMatcher and pyahocorasick
# in the same run, over lists of up to 1,000,000 entities, and samples committed per second.  A table, then JSON lines.
#
# NERMILL_DATA           the directory that holds bc5cdr/*.tsv (text and entity list)
# NERMILL_BENCH_PYTHON   a python with spacy and pyahocorasick (pip install spacy pyahocorasick); without it the peers
#                        are left out, and that is said.  With pyahocorasick every span is held against it, too
# NERMILL_BENCH_BUILD    a build directory (default: build/release, which is built)
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "aligner.sh: set NERMILL_DATA to the directory that holds bc5cdr/train.tsv, devel.tsv and test.tsv" >&2
    exit 3
fi
build=${NERMILL_BENCH_BUILD:-}
if [ -z "$build" ]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target bench_aligner >/dev/null
fi
exec "${NERMILL_BENCH_PYTHON:-python3}" tests/bench/aligner.py "$build/bin/bench_aligner" "$NERMILL_DATA"
