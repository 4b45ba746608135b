# The broker under SIGKILL, and on a failing disk: short forms; tests/chaos/broker.sh has the long ones.
add_executable(broker_chaos chaos/broker_chaos.c chaos/clients.c chaos/server.c)
target_link_libraries(broker_chaos PRIVATE nm_flags nm_ledger nm_queue nm_messages nm_net nm_base PkgConfig::JANSSON)
add_test(NAME chaos.broker COMMAND broker_chaos --seconds 15 $<TARGET_FILE:nermill-broker>)
set_tests_properties(chaos.broker PROPERTIES TIMEOUT 300)
if(NOT NM_ASAN AND NOT NM_TSAN) # a sanitizer's runtime and a preloaded library both want to be first
  add_library(failing_disk MODULE chaos/failing_disk.c)
  target_link_libraries(failing_disk PRIVATE nm_flags ${CMAKE_DL_LIBS})
  set_target_properties(failing_disk PROPERTIES C_VISIBILITY_PRESET default)
  add_test(NAME chaos.broker_disk COMMAND broker_chaos --kills 15 --disk $<TARGET_FILE:failing_disk>
                                          $<TARGET_FILE:nermill-broker>)
  set_tests_properties(chaos.broker_disk PROPERTIES TIMEOUT 300)
endif()

# The broker's side of the wire, spoken by hand.
foreach(name broker_wire broker_rude)
  add_executable(${name} chaos/${name}.c chaos/wire.c chaos/server.c)
  target_link_libraries(${name} PRIVATE nm_flags nm_messages nm_net nm_base PkgConfig::JANSSON PkgConfig::CMOCKA)
  add_test(NAME integration.${name} COMMAND ${name} $<TARGET_FILE:nermill-broker>)
  set_tests_properties(integration.${name} PROPERTIES TIMEOUT 120)
endforeach()

# Its published statistics.
add_executable(broker_stream chaos/broker_stream.c chaos/server.c)
target_link_libraries(broker_stream PRIVATE nm_flags nm_messages nm_net nm_base PkgConfig::JANSSON PkgConfig::CMOCKA)
add_test(NAME integration.broker_stream COMMAND broker_stream $<TARGET_FILE:nermill-broker>)
set_tests_properties(integration.broker_stream PROPERTIES TIMEOUT 60)
