# unit tests of the command line
nm_test(crew LINK nm_cli)
nm_test(options LINK nm_cli)
nm_test(experiment LINK nm_cli)
nm_test(project_form LINK nm_project nm_base OWNS PkgConfig::CYAML)
