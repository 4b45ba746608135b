# unit tests of the common part: one nm_test() line each
nm_test(messages LINK nm_messages)
nm_test(store LINK nm_store)
nm_test(net LINK nm_net)
nm_test(project LINK nm_project)
nm_test(base LINK nm_base)
nm_test(unpack LINK nm_messages nm_base OWNS PkgConfig::MSGPACK)
nm_test(notify LINK nm_base)
