# golden tests of the trainer's text side, against Hugging Face's tokenizers and seqeval
function(nm_golden_test name)
  cmake_parse_arguments(A "" "" "LINK;OWNS" ${ARGN})
  add_executable(golden_${name} golden/test_${name}.c)
  target_link_libraries(golden_${name} PRIVATE nm_flags ${A_LINK} ${A_OWNS} PkgConfig::CMOCKA)
  add_test(NAME golden.${name} COMMAND golden_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()

nm_golden_test(wordpiece LINK nm_wordpiece nm_base)
nm_golden_test(metrics LINK nm_ner)
