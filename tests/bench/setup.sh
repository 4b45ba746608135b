#!/usr/bin/env bash
# setup.sh - the peers of the benchmarks, in a Python environment outside the checkout.
#
#   eval "$(tests/bench/setup.sh)"
#
# installs PyTorch, transformers and tokenizers (as tests/setup-torch.sh does), adds seqeval, and prints
# NERMILL_TORCH_PYTHON.  An interpreter that has them all can be named beforehand by NERMILL_TORCH_PYTHON; nothing is
# installed then.
#
#   eval "$(tests/bench/setup.sh generators)"
#
# installs distilabel and data-designer (830 MB on disk, two minutes once) and prints NERMILL_GENERATORS_PYTHON.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ "${1:-}" = generators ]; then
    me=setup
    # shellcheck source=deploy/venv.sh
    . "$here/../../deploy/venv.sh"
    take_cache
    venv=$cache/generators-venv
    pins=$here/requirements-generators.txt
    if ! cmp -s "$pins" "$venv/installed"; then
        check_python
        say "installing distilabel and data-designer into $venv"
        "$base_python" -m venv --clear "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$pins" >&2
        cp "$pins" "$venv/installed"
    fi
    printf 'export NERMILL_GENERATORS_PYTHON=%q\n' "$venv/bin/python"
    exit 0
fi
named=${NERMILL_TORCH_PYTHON:-}
eval "$("$here/../setup-torch.sh")"
python=$NERMILL_TORCH_PYTHON
complete() { "$python" -c 'import seqeval, sklearn' 2>/dev/null; }
if ! complete && [ -z "$named" ]; then
    printf 'setup: adding seqeval to %s\n' "${python%/bin/python}" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-peers.txt" >&2
fi
complete || {
    printf 'setup: %s has no seqeval: %s -m pip install -r %s\n' "$python" "$python" "$here/requirements-peers.txt" >&2
    exit 1
}
printf 'export NERMILL_TORCH_PYTHON=%q\n' "$python"
