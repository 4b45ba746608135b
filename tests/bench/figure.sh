#!/usr/bin/env bash
# usage: tests/bench/figure.sh [bc5cdr|tdmsci] [STATE]
# The figure of docs/experiments.md for 100 gold sentences, made again from the answers in examples/experiments/responses,
# without one LLM call: gold alone, synthetic, synthetic then gold, dictionary, dictionary and tagger, on the test part.
# Every cell's scores are held against docs/experiments/NAME.csv; it ends with an error where one differs.
# STATE (default: a new temporary directory): an interrupted run goes on there.  On two cores about 20 minutes.
# Environment: NERMILL_DATA, NERMILL_ENCODER (deploy/setup-models.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:-bc5cdr}
: "${NERMILL_DATA:?the corpora: the directory with $name/}" "${NERMILL_ENCODER:?a BERT encoder: deploy/setup-models.sh}"
. tests/bench/build.sh
bench_build nermill nermill-broker nermill-generator nermill-aligner nermill-trainer
state=${2:-$(mktemp -d)}
mkdir -p "$state"
cp examples/experiments/"$name".* "$state"/
sed 's/^evaluate: devel/evaluate: test/' "examples/experiments/$name.yaml" >"$state/$name.yaml"
export NERMILL_LLM_URL=http://127.0.0.1:9/v1 NERMILL_SMALL_LLM_URL=http://127.0.0.1:9/v1 # nobody listens there
experiment() {
    "$build/bin/nermill" experiment "$state/$name.yaml" --state "$state/run" --replay examples/experiments/responses "$@"
}
[ -e "$state/run/seals/1.json" ] || experiment --seal
for cells in 'base synthetic *' 'base union *' 'base dictionary *' 'base gold *N=100 *' 'base then *N=100 *'; do
    experiment --only "$cells"
done
exec python3 tests/bench/figure.py "$state/run/test/results.csv" "docs/experiments/$name.csv"
