# The endpoint and the load generator of generator.sh.
foreach(program bench_endpoint bench_load)
  add_executable(${program} bench/${program}.c)
  target_link_libraries(${program} PRIVATE nm_flags nm_base)
endforeach()
add_executable(bench_sink bench/bench_sink.c)
target_link_libraries(bench_sink PRIVATE nm_flags nm_worker nm_messages nm_net nm_base)
