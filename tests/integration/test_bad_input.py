"""Bad input: each with one clear line that names the file and line, a non-zero exit, and nothing lost.

Every case runs through "nermill validate"; what a run would do first is the same check.
"""

import os
import unittest
import unittest.mock

import harness
from harness import EXIT_INPUT, EXIT_STORAGE


NOBODY = 65534


class Refusals(harness.Case):
    def refuse(self, project, code, *words):
        """validate and run must both refuse it, in the same words, and run must leave no state."""
        for command in (["validate", "--offline"], ["run", "--no-train"]):
            line = self.assert_fails(self.nermill(*command, project), code, *words)
            self.assertLess(len(line), 400)
        self.assertFalse((self.dir / "project" / "run" / "broker").exists())

    def edit(self, old, new):
        project = self.project()
        path = project / "project.yaml"
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))
        return project


class BadProject(Refusals):
    def test_missing_project(self):
        self.refuse(self.dir / "none.yaml", EXIT_INPUT, "none.yaml")

    def test_directory_without_a_project(self):
        (self.dir / "empty").mkdir()
        self.refuse(self.dir / "empty", EXIT_INPUT, "empty/project.yaml")

    def test_path_through_a_file(self):
        self.write("file", "x")
        self.refuse(self.dir / "file" / "project.yaml", EXIT_INPUT, "file/project.yaml")

    def test_unreadable_project(self):
        project = self.project()
        (project / "project.yaml").chmod(0)
        if os.geteuid() != 0:
            self.refuse(project, EXIT_STORAGE, "project.yaml")
            return
        self.dir.chmod(0o755)  # root may read everything, so the program runs as someone else
        try:
            result = self.nermill("validate", "--offline", project, user=NOBODY, group=NOBODY, extra_groups=[])
        except PermissionError:
            self.skipTest(f"another user may not execute {harness.BIN}, and root may read everything")
        self.assert_fails(result, EXIT_STORAGE, "project.yaml")

    def test_bad_yaml(self):
        self.refuse(self.edit("goal: {samples: 40}", "goal: {samples: 40"), EXIT_INPUT, "project.yaml:")

    def test_empty_file(self):
        project = self.project()
        (project / "project.yaml").write_text("")
        self.refuse(project, EXIT_INPUT, "project.yaml:1")

    def test_unknown_key_with_the_nearest(self):
        self.refuse(self.edit("goal:", "gaol:"), EXIT_INPUT, "project.yaml:3", "gaol", "'goal'")

    def test_unknown_key_inside(self):
        project = self.edit("concurrency: 4", "concurency: 4")
        self.refuse(project, EXIT_INPUT, "project.yaml:11", "concurency", "'concurrency'")

    def test_value_of_the_wrong_kind(self):
        self.refuse(self.edit("samples: 40", "samples: many"), EXIT_INPUT, "project.yaml:3")

    def test_value_out_of_range(self):
        self.refuse(self.edit("timeout_s: 20", "timeout_s: 0"), EXIT_INPUT, "project.yaml:12", "timeout_s")

    def test_invalid_utf8_in_the_project(self):
        project = self.project()
        path = project / "project.yaml"
        path.write_bytes(path.read_bytes().replace(b"name: test", b"name: t\xffst"))
        self.refuse(project, EXIT_INPUT, "project.yaml:2", "UTF-8")

    def test_newer_version(self):
        self.refuse(self.edit("version: 1", "version: 9"), EXIT_INPUT, "project.yaml:1", "9")


class BadLists(Refusals):
    def test_missing_list(self):
        project = self.project()
        (project / "Town.txt").unlink()
        self.refuse(project, EXIT_INPUT, "Town.txt")

    def test_list_is_a_directory(self):
        project = self.project()
        (project / "Town.txt").unlink()
        (project / "Town.txt").mkdir()
        result = self.nermill("validate", "--offline", project)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Town.txt", result.stderr)

    def test_empty_list(self):
        self.refuse(self.project(Fruit="apple\n", Town="# nothing\n\n"), EXIT_INPUT, "Town.txt")

    def test_entity_in_two_types(self):
        project = self.project(Fruit="apple\nlemon\n", Town="Oslo\nLemon\n")
        self.refuse(project, EXIT_INPUT, "Town.txt:2", "Fruit.txt:2")

    def test_invalid_utf8(self):
        self.refuse(self.project(Fruit=b"apple\nl\xe9mon\n"), EXIT_INPUT, "Fruit.txt:2", "UTF-8")

    def test_duplicates_are_counted(self):
        result = self.nermill("validate", "--offline", self.project(Fruit="apple\nlemon\napple\n  apple \n"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Fruit 2", result.stdout)
        self.assertIn("2 repeated lines", result.stdout)


class BadFiles(Refusals):
    def test_missing_gold(self):
        self.refuse(self.project(more="gold: gold.conll\n"), EXIT_INPUT, "gold.conll")

    def test_missing_template(self):
        project = self.project(more="generation: {template: prompt.txt}\n")
        self.assert_fails(self.nermill("validate", "--offline", project), EXIT_INPUT, "prompt.txt")

    def test_missing_encoder(self):
        project = self.project(more="trainer: {model: nowhere}\n")
        for command in (["validate", "--offline"], ["run"]):
            self.assert_fails(self.nermill(*command, project), EXIT_INPUT, "nowhere/config.json")

    def test_encoder_variable_that_is_not_set(self):
        with unittest.mock.patch.dict(os.environ):
            os.environ.pop("NERMILL_ENCODER", None)
            result = self.nermill("run", self.project())
        self.assert_fails(result, EXIT_INPUT, "NERMILL_ENCODER", "--no-train")


if __name__ == "__main__":
    unittest.main()
