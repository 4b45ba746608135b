#!/usr/bin/env bash
# run.sh - build and run every test; ctest's summary is the last output.
#
#   tests/run.sh [PRESET] [--torch] [--formats] [ctest options...]     (PRESET: dev, the default, or asan, release)
#
# Two tests hold the models against transformers: they run where PyTorch is (NERMILL_TORCH_PYTHON, or an environment
# that --torch has made in the cache: 1.6 GB to download, once) and say that they are skipped elsewhere.
# The exports are read back by the tools that they are for (datasets, spaCy, seqeval, Label Studio's SDK) where those are:
# NERMILL_FORMATS_PYTHON, or an environment that --formats has made in the cache (180 MB to download, once).
# The corpora of the accuracy tests are no part of the project: NERMILL_DATA names the directory that holds them
# (bc5cdr/, tdmsci/); tests that need them say so and are skipped where it is not set.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=dev
case ${1:-} in
dev | asan | release) preset=$1 && shift ;;
esac

want_torch= want_formats=
while :; do
    case ${1:-} in
    --torch) want_torch=yes ;;
    --formats) want_formats=yes ;;
    *) break ;;
    esac
    shift
done

deploy/install-deps.sh --dev
models=$(deploy/setup-models.sh)
eval "$models"
if [ -n "$want_torch" ] || [ -n "${NERMILL_TORCH_PYTHON:-}" ] || tests/setup-torch.sh --there; then
    torch=$(tests/setup-torch.sh)
    eval "$torch"
fi
if [ -n "$want_formats" ] || [ -n "${NERMILL_FORMATS_PYTHON:-}" ] || tests/setup-formats.sh --there; then
    formats=$(tests/setup-formats.sh)
    eval "$formats"
fi
cmake --preset "$preset" -DNM_TESTS=ON
cmake --build --preset "$preset"
exec ctest --preset "$preset" --parallel 2 "$@"
