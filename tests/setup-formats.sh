#!/usr/bin/env bash
# setup-formats.sh - a Python with datasets, spaCy, seqeval and jsonschema, by which the tests read the exports back.
#
#   eval "$(tests/setup-formats.sh)"
#
# makes formats-venv/ in the cache (see deploy/venv.sh; about 600 MB, a minute once) and prints NERMILL_FORMATS_PYTHON.
# With --there it only tells, by its exit status, whether that has been done.  An interpreter that has the packages can
# be named beforehand by NERMILL_FORMATS_PYTHON; nothing is installed then.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=setup-formats
# shellcheck source=deploy/venv.sh
. "$here/../deploy/venv.sh"

if [ "${1:-}" = --there ]; then
    exec test -e "$cache/formats-venv/installed"
fi
complete() { "$1" -c 'import datasets, jsonschema, pyarrow, seqeval, spacy' 2>/dev/null; }
python=${NERMILL_FORMATS_PYTHON:-}
if [ -z "$python" ]; then
    take_cache
    make_venv "$cache/formats-venv" "$here/requirements-formats.txt" "datasets, spaCy and seqeval for the tests (180 MB to download)"
    python=$cache/formats-venv/bin/python
    complete "$python" ||
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
            -r "$here/requirements-formats-source.txt" >&2 || die "seqeval could not be installed"
fi
complete "$python" || die "$python does not have datasets, jsonschema, pyarrow, seqeval and spacy"
printf 'export NERMILL_FORMATS_PYTHON=%q\n' "$python"
