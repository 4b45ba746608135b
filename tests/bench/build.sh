# build.sh - for the scripts beside it: bench_build TARGET... leaves in $build the build directory that is measured,
# NERMILL_BENCH_BUILD, or build/release with these targets built.
bench_build() {
    build=${NERMILL_BENCH_BUILD:-}
    [ -z "$build" ] || return 0
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target "$@" >/dev/null
}
