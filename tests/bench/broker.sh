#!/bin/sh
# usage: tests/bench/broker.sh [--quick]
# Durable completions a second of the real broker under real client processes over TCP, fsync on, with memory, CPU and
# the times of leases, beside beanstalkd (-b -f0) and Redis (appendfsync always) in the same run; then the cost against
# the plan's size, 10^4 to 10^8 tasks.  Tables, then JSON lines.
#
# beanstalkd, redis-server   Debian's packages (deploy/install-deps.sh --bench); a peer that is absent is left out, and
#                            that is said
# NERMILL_BENCH_BUILD        a build directory (default: build/release, which is built)
# TMPDIR                     where every server keeps its files (default: /tmp): the disk that is measured
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/build.sh
bench_build nermill-broker bench_broker bench_queues
exec python3 tests/bench/broker.py "$build/bin" "$@"
