#!/usr/bin/env bash
# setup-export.sh - Apache Arrow's Python package, by which nermill export --format parquet writes.
#
#   deploy/setup-export.sh
#
# makes export-venv/ in the cache (see venv.sh; 50 MB to download, once), where nermill looks for it.  A Python that
# has pyarrow can be named by NERMILL_EXPORT_PYTHON instead; nothing need be installed then.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=setup-export
# shellcheck source=deploy/venv.sh
. "$here/venv.sh"
take_cache
make_venv "$cache/export-venv" "$here/requirements-export.txt" "pyarrow (50 MB to download)"
say "nermill export --format parquet can be used now"
