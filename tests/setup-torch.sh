#!/usr/bin/env bash
# setup-torch.sh - a Python with PyTorch and transformers, against which the tests hold what nermill writes.
#
#   eval "$(tests/setup-torch.sh)"
#
# makes torch-venv/ in the cache (see deploy/venv.sh; about 4 GB, a few minutes once) and prints NERMILL_TORCH_PYTHON.
# With --there it only tells, by its exit status, whether that has been done.  An interpreter that has both packages
# can be named beforehand by NERMILL_TORCH_PYTHON; nothing is installed then.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=setup-torch
# shellcheck source=deploy/venv.sh
. "$here/../deploy/venv.sh"

if [ "${1:-}" = --there ]; then # only tell whether it has been made
    exec test -e "$cache/torch-venv/installed"
fi
python=${NERMILL_TORCH_PYTHON:-}
if [ -z "$python" ]; then
    take_cache
    make_venv "$cache/torch-venv" "$here/requirements-torch.txt" "PyTorch and transformers for the tests (1.6 GB to download)"
    python=$cache/torch-venv/bin/python
fi
"$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("transformers")))' ||
    die "$python does not have torch and transformers"
printf 'export NERMILL_TORCH_PYTHON=%q\n' "$python"
