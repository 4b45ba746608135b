#!/bin/sh
# usage: tests/bench/strategies.sh [SAMPLES]
# What a strategy costs with the real SmolLM2-135M on BC5CDR's train lists, in natural text again: accepted share of the
# answers, accepted samples a minute, calls for each accepted sample; asked freely, with corrective retries, constrained
# at the last attempt, constrained at once, and in markup mode.  SAMPLES tasks each (default 100).  A table, then JSON
# lines.
# Environment: see llm.sh.
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/llm.sh
exec python3 tests/bench/strategies.py "$build/bin" "${1:-100}"
