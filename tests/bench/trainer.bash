# Sourced by train.sh, predict.sh and wordpiece.sh, from anywhere:  . trainer.bash TARGET...
# Goes to the top of the checkout, sees to the variables below, and sets $bin to where the targets are built.
#
# NERMILL_DATA           the directory that holds bc5cdr/ and tdmsci/
# NERMILL_ENCODER        MiniLM-L6 as a Hugging Face directory (default: what deploy/setup-models.sh unpacks)
# NERMILL_TORCH_PYTHON   a Python with torch and transformers (default: what tests/bench/setup.sh makes)
# NERMILL_BENCH_BUILD    a build directory (default: build/release, which is built)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${NERMILL_DATA:-}" ]; then
    echo "${0##*/}: set NERMILL_DATA to the directory that holds bc5cdr/ and tdmsci/" >&2
    exit 3
fi
[ -n "${NERMILL_ENCODER:-}" ] || eval "$(deploy/setup-models.sh)"
[ -n "${NERMILL_TORCH_PYTHON:-}" ] || eval "$(tests/bench/setup.sh)"
. tests/bench/build.sh
bench_build "$@"
bin=$build/bin
