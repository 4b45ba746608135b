# The generator under SIGKILL: a short form; tests/chaos/generator.sh has the long one.
add_test(NAME chaos.generator COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/chaos/generator.py --kills 12)
set_tests_properties(chaos.generator PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT
                     "NM_BIN=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1")
