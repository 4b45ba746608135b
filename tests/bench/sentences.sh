#!/bin/sh
# usage: tests/bench/sentences.sh [SAMPLES]
# What asking for 1, 3 and 5 sentences in one call does with a real model on BC5CDR's train lists: share of the sentences that
# are accepted, calls for each of those, and accepted samples a minute; asked freely and constrained, one attempt each, SAMPLES
# sentences (default 60).  A table, then JSON lines.
# Environment: see llm.sh.
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/llm.sh
exec python3 tests/bench/sentences.py "$build/bin" "${1:-60}"
