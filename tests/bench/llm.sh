# Sourced by the scripts that measure with a real language model, from the top of the checkout:  . tests/bench/llm.sh
# Sees to the variables below, and sets $build.
#
# NERMILL_DATA, NERMILL_PYTHON, NERMILL_GGUF   bc5cdr/train.tsv; the others as deploy/setup-models.sh prints them: the model
#                                              is the one that NERMILL_GGUF names
# NERMILL_BENCH_BUILD                          a build directory (default: build/release, which is built)
for name in NERMILL_DATA NERMILL_PYTHON NERMILL_GGUF; do
    if eval "[ -z \"\${$name:-}\" ]"; then
        echo "${0##*/}: $name is not set: NERMILL_DATA holds bc5cdr/train.tsv, deploy/setup-models.sh prints the others" >&2
        exit 3
    fi
done
. tests/bench/build.sh
bench_build nermill nermill-generator nermill-aligner
