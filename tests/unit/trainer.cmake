# unit tests of the trainer part: one nm_test() line each
nm_test(corpus LINK nm_ner)
nm_test(wordpiece LINK nm_wordpiece)
nm_test(trainer LINK nm_trainer)
nm_test(tensor LINK nm_tensor OWNS OpenMP::OpenMP_C m)
# Thousands of tiny parallel regions: OpenMP's spinning between them is time that other tests want.
set_tests_properties(unit.tensor PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
nm_test(safetensors LINK nm_bert)
nm_test(torch_file LINK nm_bert)
nm_test(weights LINK nm_bert)
nm_test(model_config LINK nm_bert)
nm_test(bert LINK nm_bert OWNS m)
set_tests_properties(unit.bert PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
nm_test(pull LINK nm_pull nm_messages nm_shard nm_net OWNS Threads::Threads)
