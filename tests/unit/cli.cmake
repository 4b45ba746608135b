# unit tests of the command line
nm_test(crew LINK nm_cli)
nm_test(options LINK nm_cli)
