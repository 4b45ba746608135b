# Golden tests: held against PyTorch's figures in golden/data, which golden/make_goldens.py makes.
add_executable(test_golden_bert golden/test_bert.c)
target_link_libraries(test_golden_bert PRIVATE nm_flags nm_bert PkgConfig::CMOCKA PkgConfig::JANSSON m)
add_test(NAME golden.bert COMMAND test_golden_bert ${CMAKE_CURRENT_SOURCE_DIR}/golden/data)
add_executable(test_golden_crf golden/test_crf.c)
target_link_libraries(test_golden_crf PRIVATE nm_flags nm_tensor nm_base PkgConfig::CMOCKA PkgConfig::JANSSON m)
add_test(NAME golden.crf COMMAND test_golden_crf ${CMAKE_CURRENT_SOURCE_DIR}/golden/data/crf.json)
