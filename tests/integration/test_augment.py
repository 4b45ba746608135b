"""nermill augment with the surface form of real text: the command, its files, and a run that trains on the copies."""

import json
import re
import unittest

import harness
import test_denoise
from fake_llm import FakeLLM
from harness import EXIT_INPUT, EXIT_OK, EXIT_USAGE

SENTENCES = """Aspirin\tB-Chemical
lowered\tO
the\tO
stroke\tB-Disease
volume\tO
of\tO
mice\tO
with\tO
fever\tB-Disease
,\tO
and\tO
maybe\t-
of\tO
men\tO
.\tO

Nothing\tO
happened\tO

"""
CHEMICALS, DISEASES = {"aspirin", "zinc", "valproic acid"}, {"stroke", "fever", "renal failure"}
ASIDES = "# nothing to be learnt\n(n = 12)\nat 0.25 mg/kg\nDisease: acute *\n"
DECOYS = "stroke volume\nmice\nwild-type rats\nzinc\n"


class Command(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("few.conll", SENTENCES)
        self.write("chemicals.txt", "\n".join(sorted(CHEMICALS)))
        self.write("diseases.txt", "\n".join(sorted(DISEASES)))
        self.write("asides.txt", ASIDES)
        self.write("decoys.txt", DECOYS)
        self.lists = ["--entities", f"Chemical={self.dir / 'chemicals.txt'}", "--entities", f"Disease={self.dir / 'diseases.txt'}"]

    def augment(self, *args, file="few.conll"):
        return self.nermill("augment", self.dir / file, *self.lists, *args)

    def surface(self, *args):
        result = self.augment("--asides", self.dir / "asides.txt", "--decoys", self.dir / "decoys.txt", "--seed", 3, *args)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return result

    def test_what_comes_out(self):
        result = self.surface("--copies", 60)
        for words in ("2 sentences", "1 mentions are none", "1 terms are left out"):
            self.assertIn(words, result.stderr)
        shielded = SENTENCES.replace("stroke\tB-Disease", "stroke\tO")
        self.assertTrue(result.stdout.startswith(shielded))
        copies = result.stdout[len(shielded):].strip().split("\n\n")
        short = {"ASP", "AS", "ASPI", "VA", "STR", "ST", "STRO", "RF"}
        found = set()
        for copy in copies:
            mentions, types = [], set()
            for word, tag in (line.split("\t") for line in copy.split("\n")):
                if tag[0] == "B":
                    mentions.append([word.lower(), tag[2:]])
                elif tag[0] == "I":
                    self.assertEqual(mentions[-1][1], tag[2:])
                    mentions[-1][0] += " " + word.lower()
                types.add(tag)
            for name, kind in mentions:
                self.assertTrue(name.upper() in short or name in (CHEMICALS if kind == "Chemical" else DISEASES), (name, kind))
            if "Nothing\tO" not in copy:
                self.assertIn("maybe\t-\n", copy + "\n")
            found |= {name for name, _ in mentions}
        self.assertLessEqual({"zinc", "valproic acid", "renal failure", "va", "rf"}, found)  # a list's names all come
        text = result.stdout
        for pattern in (r"\(\tO\nn\tO\n=\tO\n(?!12\t)\d+\tO\n\)\tO\n", r"at\tO\n\d+\tO\n\.\tO\n\d\d\tO\n", r"acute\tO\n\w+\tB-Disease",
                        r"wild\tO\n-\tO\ntype\tO\nrats\tO\n", r"[BI]-Chemical\n/\tO\n\w+\tB-Chemical"):
            self.assertTrue(re.search(pattern, text), pattern)
        self.assertIsNone(re.search(r"acute\tO\n\w+\tB-Chemical", text))

    def test_seeds_and_copies(self):
        one, two = self.surface("--copies", 3).stdout, self.surface("--copies", 4).stdout
        self.assertEqual(one, self.surface("--copies", 3).stdout)
        self.assertTrue(two.startswith(one) and len(two) > len(one))
        self.assertNotEqual(one, self.surface("--copies", 3, "--seed", 4).stdout)
        self.assertEqual(self.augment("--surface").returncode, EXIT_OK)  # neither file is needed
        piped = self.nermill("augment", "-", *self.lists, "--seed", 3, input=SENTENCES)  # it is read once
        self.assertEqual(piped.stdout, self.augment("--seed", 3).stdout, piped.stderr)

    def test_settings_of_a_project(self):
        project = self.write("project.yaml", "entities: [{type: Chemical, file: chemicals.txt}, {type: Disease, file: diseases.txt}]\n"
                             "endpoints: [{url: http://127.0.0.1:9/v1, model: none}]\nseed: 3\n"
                             "generation: {decoys: {file: decoys.txt}}\naugmentation: {asides: asides.txt, copies: 4}\n")
        result = self.nermill("augment", self.dir / "few.conll", "--project", project)
        self.assertEqual(result.stdout, self.surface("--copies", 4).stdout, result.stderr)
        result = self.nermill("augment", self.dir / "few.conll", "--project", project, "--copies", 2, "--aside", 0, "--frame", 0)
        self.assertNotIn("n\tO\n=\tO", result.stdout)
        path = project.read_text()
        for old, new, words in (("copies: 4", "copies: 0", "augmentation.copies"), ("copies: 4", "copy: 4", "unknown key 'copy'"),
                                ("copies: 4", "coordinate: 0.7, aside: 0.5", "more than 1 together")):
            self.write("project.yaml", path.replace(old, new))
            result = self.nermill("augment", self.dir / "few.conll", "--project", project)
            self.assert_fails(result, EXIT_INPUT, "project.yaml:5", words)

    def test_what_is_wrong_is_said(self):
        self.write("wrong.txt", "(n = 1)\nacute * or *\n")
        self.write("latin.txt", "x\n").write_bytes(b"(caf\xe9)\n")
        for args, code, *words in (
            (("--asides", self.dir / "wrong.txt"), EXIT_INPUT, "wrong.txt:2", "'*'"),
            (("--asides", self.dir / "latin.txt"), EXIT_INPUT, "latin.txt:1", "UTF-8"),
            (("--decoys", self.dir / "latin.txt"), EXIT_INPUT, "latin.txt:1"),
            (("--asides", self.dir / "none.txt"), EXIT_INPUT, "none.txt"),
            (("--coordinate", "1.5"), EXIT_USAGE, "--coordinate", "from 0 to 1"),
            (("--coordinate", "0.9"), EXIT_USAGE, "more than 1 together"),
        ):
            self.assert_fails(self.augment("-o", self.dir / "out.conll", *args), code, *words)
            self.assertFalse((self.dir / "out.conll").exists())


class InARun(test_denoise.Tagged):
    def test_the_tagger_is_trained_on_the_copies_too(self):
        harness.program("nermill-trainer")
        with FakeLLM(sum(self.LISTS.values(), [])) as llm:
            project = self.make_trained(llm, 40)
            self.write("project/asides.txt", "(n = 12)\nacute * or *\n")
            path = project / "project.yaml"
            plain = path.read_text()
            path.write_text(plain + "augmentation: {copies: 2, asides: asides.txt}\n")
            self.assert_fails(self.nermill("validate", project, "--offline"), EXIT_INPUT, "asides.txt:2: ")
            _, said = self.finish(self.start(project, train=True), EXIT_INPUT)
            self.assertRegex(said, r"asides\.txt:2: .*'\*'")  # before anything is started
            self.assertEqual(llm.bodies, [])
            self.write("project/asides.txt", "(n = 12)\n")
            self.assertIn("copies     2 of each sample", self.nermill("validate", project, "--offline").stdout)
            self.run_it(project)
            data, bought = project / "run" / "data", len(llm.bodies)
            train, copies = ((data / name).read_text() for name in ("train.conll", "augmented.conll"))
            self.assertTrue(copies.startswith(train))
            self.assertIn("n\tO\n=\tO\n", copies)
            record = lambda: json.loads((project / "run" / "model" / "nermill.json").read_text())["data"]["sentences"]
            self.assertEqual(record(), len(re.findall("\n\n", copies)))
            self.assertGreater(record(), 80)
            self.assertIn("already", self.run_it(project))
            self.assertEqual((data / "augmented.conll").read_text(), copies)
            path.write_text(plain)  # and without it again
            self.run_it(project)
            self.assertEqual((record(), len(llm.bodies)), (40, bought))


if __name__ == "__main__":
    unittest.main()
