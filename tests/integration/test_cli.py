"""The command line itself: help, exit codes, unknown commands, init and validate."""

import os
import stat
import unittest

import harness
from harness import EXIT_ENDPOINT, EXIT_FAILURE, EXIT_INPUT, EXIT_OK, EXIT_USAGE

DESK = ["pause", "resume", "drain", "limit", "dead", "peek", "kick", "bury", "workers"]
OWN = ["init", "validate", "run", "status", "export", "evaluate"] + DESK


class Help(harness.Case):
    def test_help_lists_every_command_and_exit_code(self):
        result = self.nermill("--help")
        self.assertEqual(result.returncode, EXIT_OK)
        for word in OWN + ["preview", "train", "predict", "broker"]:
            self.assertRegex(result.stdout, rf"(?m)^  {word} ")
        for code in (0, 1, 2, 3, 4, 5, 130):
            self.assertRegex(result.stdout, rf"(?m)^  {code} ")

    def test_every_command_has_help(self):
        for word in OWN:
            for args in ([word, "--help"], [word, "-h"], ["help", word]):
                result = self.nermill(*args)
                self.assertEqual(result.returncode, EXIT_OK, args)
                self.assertIn(f"usage: nermill {word} ", result.stdout)
                self.assertIn("Exit codes:", result.stdout)

    def test_version(self):
        self.assertRegex(self.nermill("--version").stdout, r"^nermill \d+\.\d+\.\d+\n$")

    def test_nothing_is_a_usage_error(self):
        result = self.nermill()
        self.assertEqual(result.returncode, EXIT_USAGE)
        self.assertIn("usage: nermill", result.stderr)

    def test_unknown_command_names_the_nearest(self):
        self.assert_fails(self.nermill("exprot"), EXIT_USAGE, "exprot", "did you mean 'export'?")
        self.assert_fails(self.nermill("qqqqqq"), EXIT_USAGE, "there is no command 'qqqqqq'")

    def test_unknown_option_names_the_nearest(self):
        self.assert_fails(self.nermill("run", "--generatros", "2", "x"), EXIT_USAGE, "--generators")

    def test_bad_arguments(self):
        self.assert_fails(self.nermill("run", "x", "--generators", "two"), EXIT_USAGE, "whole number", "two")
        self.assert_fails(self.nermill("run", "x", "--generators=0"), EXIT_USAGE, "1 to")
        self.assert_fails(self.nermill("run", "x", "--state"), EXIT_USAGE, "needs a value")
        self.assert_fails(self.nermill("run"), EXIT_USAGE, "missing")
        self.assert_fails(self.nermill("run", "a", "b"), EXIT_USAGE, "too many")

    def test_a_full_disk_behind_stdout_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        import subprocess

        with open("/dev/full", "w") as full:
            result = subprocess.run([harness.program("nermill"), "--help"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, harness.EXIT_STORAGE)
        self.assertIn(b"No space left", result.stderr)


class Dispatch(harness.Case):
    def fake(self, name):
        """A stand-in program in self.dir that prints its arguments."""
        path = self.write(name, '#!/bin/sh\necho "$(basename "$0")" "$@"\nexit 7\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def test_foreign_programs_are_found_in_path(self):
        self.fake("nermill-sing")
        result = self.nermill("sing", "-x", "a b", env={"PATH": f"{self.dir}:{os.environ['PATH']}"})
        self.assertEqual((result.returncode, result.stdout), (7, "nermill-sing -x a b\n"))

    def test_own_directory_comes_first(self):
        harness.program("nermill-broker")
        self.fake("nermill-broker")
        result = self.nermill("broker", "--help", env={"PATH": f"{self.dir}:{os.environ['PATH']}"})
        self.assertEqual(result.returncode, EXIT_OK)

    def test_words_are_handed_on(self):
        """Beside a copy of nermill that stands alone, PATH is where its programs are."""
        alone = self.dir / "alone"
        alone.mkdir()
        (alone / "nermill").write_bytes((harness.BIN / "nermill").read_bytes())
        (alone / "nermill").chmod(0o755)
        for name in ("nermill-generator", "nermill-trainer", "nermill-aligner"):
            self.fake(name)
        import subprocess

        for given, expected in (
            (["preview", "P", "-n", "5"], "nermill-generator preview P -n 5"),
            (["train", "--model", "M"], "nermill-trainer train --model M"),
            (["predict", "--", "x"], "nermill-trainer predict -- x"),
            (["evaluate", "--model", "M", "--gold", "G"], "nermill-trainer evaluate --model M --gold G"),
            (["aligner", "--broker", "E"], "nermill-aligner --broker E"),
        ):
            result = subprocess.run(
                [str(alone / "nermill"), *given], capture_output=True, text=True, env={"PATH": f"{self.dir}:/usr/bin:/bin"}
            )
            self.assertEqual((result.returncode, result.stdout.strip()), (7, expected), result.stderr)
        result = subprocess.run([str(alone / "nermill"), "broker"], capture_output=True, text=True)
        self.assert_fails(result, EXIT_FAILURE, "nermill-broker", "PATH")


class Init(harness.Case):
    def test_templates_validate(self):
        for template in ("biomed", "minimal"):
            target = self.dir / "deep" / template
            result = self.nermill("init", target, "--template", template)
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn(f"name: {template}\n", (target / "project.yaml").read_text())
            result = self.nermill("validate", target, "--offline")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn("nothing is wrong", result.stdout)
            self.assertEqual("copies     2 of each sample" in result.stdout, template == "biomed")

    def test_never_overwrites(self):
        target = self.dir / "mine"
        self.write("mine/chemicals.txt", "gold\n")
        self.assert_fails(self.nermill("init", target), EXIT_FAILURE, "chemicals.txt", "not overwritten")
        self.assertEqual(os.listdir(target), ["chemicals.txt"])
        self.assertEqual((target / "chemicals.txt").read_text(), "gold\n")

    def test_other_files_may_be_there(self):
        self.write("mine/notes.md", "x")
        self.assertEqual(self.nermill("init", self.dir / "mine").returncode, EXIT_OK)

    def test_unknown_template(self):
        self.assert_fails(self.nermill("init", self.dir / "x", "--template", "bio"), EXIT_USAGE, "'bio'", "biomed")
        self.assertFalse((self.dir / "x").exists())

    def test_a_file_in_the_way(self):
        self.write("file", "x")
        self.assert_fails(self.nermill("init", self.dir / "file" / "sub"), EXIT_INPUT, "file")


class Status(harness.Case):
    def test_nothing_runs(self):
        self.assert_fails(self.nermill("status", self.project()), EXIT_ENDPOINT, "nothing runs", "nermill run")

    def test_nobody_answers(self):
        endpoint = f"tcp://127.0.0.1:{harness.free_port()}"
        self.assert_fails(self.nermill("status", "--stats", endpoint), EXIT_ENDPOINT, "nothing runs", endpoint)

    def test_no_such_project(self):
        self.assert_fails(self.nermill("status", self.dir / "none"), EXIT_INPUT, "none")

    def test_export_of_nothing(self):
        self.assert_fails(self.nermill("export", self.project()), EXIT_INPUT, "no data set")


if __name__ == "__main__":
    unittest.main()
