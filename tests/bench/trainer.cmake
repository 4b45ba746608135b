# Benchmarks of the trainer's numerics, built with the tests but not run by ctest.
add_executable(bench_train_step bench/train_step.c)
target_link_libraries(bench_train_step PRIVATE nm_flags nm_bert BLAS::BLAS m)
add_executable(bench_wordpiece bench/bench_wordpiece.c)
target_link_libraries(bench_wordpiece PRIVATE nm_flags nm_wordpiece nm_base)
