#!/usr/bin/env bash
# quickstart.sh - from a fresh checkout to a trained tagger, with a real language model, on this machine.
#
#   deploy/quickstart.sh [--state DIR] [--project DIR]
#
# Installs what is missing, builds, sets up the embedded language model and encoder, runs examples/biomed and tags a
# few unseen sentences.  Everything the run makes is in DIR (default: nermill-quickstart in the checkout, which git
# ignores).  Run again, it ends in seconds; interrupted anywhere, by Ctrl-C or kill -9, it goes on when run again.
#
# This script only puts the parts in order.  Whatever it starts dies with it: each child is told by the kernel to
# end when its parent does (setpriv --pdeathsig), and all of them hold the lock that the next run waits for.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$root/nermill-quickstart
project=$root/examples/biomed
build=$root/build/release

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit "$1"
}
while [ $# -gt 0 ]; do
    case $1 in
    --state) state=$(realpath -m "${2:?--state needs a directory}") && shift 2 ;;
    --project) project=$(realpath -m "${2:?--project needs a directory}") && shift 2 ;;
    -h | --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
done

say() { printf '\n== %s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# ---- one run at a time, and nothing left of an earlier one -----------------------------------------------------------

port_file=$state/llm.port
is_ours() { # is_ours PID SCRIPT: a live process that runs this script of ours
    [ -n "$1" ] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -q -- "$2"
}

take_lock() {
    local holder port server
    exec 8>>"$state/quickstart.lock"
    if ! flock -n 8; then
        holder=$(cat "$state/quickstart.pid" 2>/dev/null || true)
        ! is_ours "$holder" quickstart.sh || die "another quickstart (process $holder) is at work in $state"
        echo "waiting for the processes of an interrupted run to end"
        if read -r port server 2>/dev/null <"$port_file" && is_ours "$server" llm_server.py; then
            kill "$server"
        fi
        flock -w 90 8 || die "processes of an interrupted run still work in $state; 'fuser $state/quickstart.lock' lists them"
    fi
    echo $$ >"$state/quickstart.pid"
    rm -f "$port_file"
}

# ---- children --------------------------------------------------------------------------------------------------------

set -m # each child is a process group of its own, so that Ctrl-C comes here first and is passed on in order
child=
server=
# run COMMAND...: in the foreground as far as anyone can see, but interruptible, and gone when this script is.  Without
# its language model no run gets further: if the server ends, so does the command.
run() {
    local code ended
    setpriv --pdeathsig TERM -- "$@" &
    child=$!
    while :; do
        ended=
        wait -n -p ended "$child" ${server:+"$server"} && code=0 || code=$?
        case $ended in
        "$child") break ;;
        "") ;; # a signal ends a wait too; the child is still at its clean-up
        *)
            echo "quickstart: the language model's server has ended (see $state/logs/llm.log); run the same command again to go on" >&2
            server=
            kill -TERM "$child" 2>/dev/null || true
            ;;
        esac
    done
    child=
    [ -z "$stopped" ] || exit 130
    return "$code"
}

stopped=
on_signal() {
    stopped=yes
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null || true
    else
        exit 130
    fi
}
on_exit() {
    local code=$?
    trap '' INT TERM HUP
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    [ "$code" != 130 ] || printf '\nstopped; run the same command again to go on\n' >&2
    exit "$code"
}
trap on_signal INT TERM HUP
trap on_exit EXIT

start_server() {
    local tries=0
    setpriv --pdeathsig TERM -- "$NERMILL_PYTHON" "$root/deploy/llm_server.py" --model "$NERMILL_GGUF" \
        --port-file "$port_file" --log "$state/logs/llm.log" &
    server=$!
    until [ -s "$port_file" ]; do
        kill -0 "$server" 2>/dev/null || die "the language model's server did not start; see $state/logs/llm.log"
        [ $((tries += 1)) -lt 1200 ] || die "the language model's server is not ready after two minutes; see $state/logs/llm.log"
        sleep 0.1
    done
    NERMILL_LLM_URL=http://127.0.0.1:$(cut -d' ' -f1 "$port_file")/v1
    export NERMILL_LLM_URL
}

# ---- the job ---------------------------------------------------------------------------------------------------------

build_programs() {
    local log=$state/logs/build.log
    [ -f "$build/build.ninja" ] || run cmake --preset release -S "$root" -DNM_TESTS=OFF >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "cmake failed; all of it is in $log"; }
    if [ -t 1 ]; then
        run cmake --build "$build" || die "the build failed"
    else
        run cmake --build "$build" >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "the build failed; all of it is in $log"; }
    fi
}

begin=$SECONDS
mkdir -p "$state/logs" || die "can't write to $state; name another place with --state DIR"
cd "$root" # cmake's presets are looked for here
take_lock

say "dependencies"
"$root/deploy/install-deps.sh"
say "build"
build_programs
say "language model and encoder"
models=$("$root/deploy/setup-models.sh")
eval "$models"
start_server
say "entity lists in, trained tagger out: ${project#"$root"/}"
run "$build/bin/nermill" run "$project" --state "$state"
say "sentences that it has never seen"
run "$build/bin/nermill" predict --model "$state/model" "$project/unseen.txt"
printf '\nDone in %d s.  Tag your own:  %s predict --model %s FILE\n' $((SECONDS - begin)) "${build#"$root"/}/bin/nermill" "$state/model"
