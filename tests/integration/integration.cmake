# nm_python_test(cli) runs integration/test_cli.py (standard library only) as "integration.cli"; the programs are in NM_BIN.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(nm_python_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  add_test(NAME integration.${name} COMMAND ${Python3_EXECUTABLE} -m unittest -v test_${name}
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/tests/integration)
  set_tests_properties(integration.${name} PROPERTIES TIMEOUT ${A_TIMEOUT} ENVIRONMENT
                       "NM_BIN=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1"
                       SKIP_REGULAR_EXPRESSION "OK \\(skipped=") # a part that could not run shows in the summary
endfunction()

nm_python_test(protocol_doc)
nm_python_test(project_schema)
nm_python_test(cli)
nm_python_test(bad_input)
nm_python_test(examples)
nm_python_test(completion)
nm_python_test(broker_tools)
nm_python_test(stats_schema)
nm_python_test(training_stats)
nm_python_test(generator TIMEOUT 300)
nm_python_test(constraints TIMEOUT 300)
nm_python_test(verification TIMEOUT 300)
nm_python_test(sentences TIMEOUT 300)

# What a ledger knows of calls, for test_hostile.py.
add_executable(response_log integration/response_log.c)
target_link_libraries(response_log PRIVATE nm_flags nm_ledger nm_store nm_messages nm_base PkgConfig::JANSSON)
nm_python_test(hostile TIMEOUT 300)
nm_python_test(access TIMEOUT 300)
nm_python_test(budget TIMEOUT 600)
nm_python_test(run TIMEOUT 900)
nm_python_test(real_llm TIMEOUT 1200)
set_tests_properties(integration.real_llm PROPERTIES RUN_SERIAL ON) # the model wants every core
nm_python_test(coverage TIMEOUT 300)
nm_python_test(generation TIMEOUT 300)
nm_python_test(reuse TIMEOUT 300)
nm_python_test(batch TIMEOUT 300)
nm_python_test(replay TIMEOUT 300)

# Stores of a version that does not exist yet, for test_run.py.
add_executable(newer_store integration/newer_store.c)
target_link_libraries(newer_store PRIVATE nm_flags nm_store nm_base)
nm_python_test(trainer TIMEOUT 400)
nm_python_test(serve TIMEOUT 200)
nm_python_test(mpi TIMEOUT 400)
nm_python_test(desk TIMEOUT 300)
nm_python_test(letters TIMEOUT 300)
nm_python_test(ends TIMEOUT 300)

# What a trainer gets, as files, for test_shards.py.
add_executable(pull_shards integration/pull_shards.c)
target_link_libraries(pull_shards PRIVATE nm_flags nm_pull nm_worker nm_ner nm_shard nm_net nm_base)
nm_python_test(shards TIMEOUT 300)
nm_python_test(import)
nm_python_test(entities)
nm_python_test(joined_model)
nm_python_test(export)
nm_python_test(read_back)
nm_python_test(split)
nm_python_test(report)
nm_python_test(dedup TIMEOUT 300)
nm_python_test(denoise TIMEOUT 300)
nm_python_test(alignment TIMEOUT 300)
nm_python_test(experiment TIMEOUT 300)
