add_executable(bench_aligner bench/bench_aligner.c)
target_link_libraries(bench_aligner PRIVATE nm_flags nm_aligner)
