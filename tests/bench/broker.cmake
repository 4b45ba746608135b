add_executable(bench_broker bench/bench_broker.c bench/broker_clients.c chaos/server.c)
target_link_libraries(bench_broker PRIVATE nm_flags nm_fingerprint nm_messages nm_net nm_base PkgConfig::JANSSON)
add_executable(bench_queues bench/bench_queues.c)
target_link_libraries(bench_queues PRIVATE nm_flags)
