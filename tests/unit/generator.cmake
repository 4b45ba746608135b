# unit tests of the generator part: one nm_test() line each
nm_test(llm LINK nm_generator OWNS Threads::Threads)
nm_test(validate LINK nm_generator)
nm_test(prompt LINK nm_generator)
nm_test(constraint LINK nm_generator OWNS PkgConfig::JANSSON)
nm_test(chat LINK nm_generator OWNS PkgConfig::JANSSON)
nm_test(spool LINK nm_generator)
nm_test(judge LINK nm_generator)
nm_test(pool LINK nm_generator)
