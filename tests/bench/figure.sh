#!/usr/bin/env bash
# usage: tests/bench/figure.sh [bc5cdr|tdmsci] [STATE [DRAWS]]
# The cells of docs/experiments.md with 100 gold sentences, made again from the answers in examples/experiments/responses
# without one LLM call, and their figure: gold alone, synthetic alone, synthetic then gold, the dictionary, dictionary and
# tagger, on the test part.  Every number is held against docs/experiments/NAME.csv; an error where one differs.
# STATE (default: a new temporary directory): an interrupted run goes on there.  DRAWS (3): of gold sentences.
# Environment: NERMILL_DATA, the directory with bc5cdr/ and tdmsci/; NERMILL_ENCODER (default: deploy/setup-models.sh's).
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:-bc5cdr} state=${2:-$(mktemp -d)} draws=${3:-3}
: "${NERMILL_DATA:?the directory with bc5cdr/ and tdmsci/}"
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
. tests/bench/build.sh
bench_build nermill nermill-broker nermill-generator nermill-aligner nermill-trainer
mkdir -p "$state"
cp examples/experiments/"$name".* "$state"/
sed -i -e 's/^evaluate: devel/evaluate: test/' -e 's/^  gold: .*/  gold: [100]/' -e "s/^  draws: .*/  draws: $draws/" \
    -e '/^ablations:/,$d' "$state/$name.yaml"
export NERMILL_LLM_URL=http://127.0.0.1:9/v1 # nobody listens there
experiment() {
    "$build/bin/nermill" experiment "$state/$name.yaml" --state "$state/run" "$@"
}
[ -e "$state/run/seals/1.json" ] || experiment --seal
experiment --replay examples/experiments/responses
echo "figures: $state/run/test/figures"
exec python3 tests/bench/figure.py "$state/run/test/results.csv" "docs/experiments/$name.csv"
