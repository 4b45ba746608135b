#!/bin/sh
# usage: tests/bench/generator.sh [--quick]
# One generator, 1,000 calls in flight, real prompts, real validation, spool and broker on the disk: calls a second, memory
# and CPU against an endpoint that answers at once; the share of what is possible against one that takes 500 ms; distilabel
# and data-designer on the same endpoint; and the tokens a second of llama.cpp's server under nermill and under a plain load
# generator, which sends it the same requests.  Tables, then JSON lines.
#
# NERMILL_GENERATORS_PYTHON   a Python with the two peers (default: what tests/bench/setup.sh generators makes)
# NERMILL_PYTHON, NERMILL_GGUF  the llama.cpp server and its model (default: what deploy/setup-models.sh makes)
# NERMILL_BENCH_BUILD         a build directory (default: build/release, which is built)
# TMPDIR                      where spool and ledger are (default: /tmp): the disk that is measured
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/build.sh
bench_build nermill nermill-broker nermill-generator bench_endpoint bench_load bench_sink
if [ -z "${NERMILL_GENERATORS_PYTHON:-}" ]; then
    set_up=$(bash tests/bench/setup.sh generators)
    eval "$set_up"
fi
if [ -z "${NERMILL_PYTHON:-}" ] || [ -z "${NERMILL_GGUF:-}" ]; then
    set_up=$(deploy/setup-models.sh)
    eval "$set_up"
fi
export NERMILL_GENERATORS_PYTHON NERMILL_PYTHON NERMILL_GGUF
exec python3 tests/bench/generator.py "$build/bin" "$@"
