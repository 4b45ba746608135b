"""nermill-trainer as a program: training, kill -9 and resume, what it says to bad input, and transformers' opinion."""

import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import time

import harness
import tiny_bert
from harness import EXIT_INPUT, EXIT_OK, EXIT_SIGNAL, EXIT_USAGE

HERE = pathlib.Path(__file__).resolve().parent


class TrainerCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.model = tiny_bert.write(self.dir / "base")
        self.train_file = self.write("train.conll", tiny_bert.corpus(200))
        self.gold_file = self.write("gold.conll", tiny_bert.corpus(40, seed=3))

    def trainer(self, *args, **more):
        return self.nermill(*args, name="nermill-trainer", **more)

    def train_args(self, out, *more):
        return ["train", "--model", self.model, "--train", self.train_file, "--out", self.dir / out,
                "--epochs", "4", "--lr", "0.01", "--batch", "8", "--threads", "1", *more]

    def trained(self):
        result = self.trainer(*self.train_args("out", "--gold", self.gold_file, "--epochs", "12"))
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return self.dir / "out"


class Train(TrainerCase):
    def test_train_evaluate_predict(self):
        out = self.trained()
        card = json.loads((out / "nermill.json").read_text())
        self.assertGreater(card["scores"]["f1"], 0.95)
        self.assertEqual(card["training"]["steps"], 300)
        self.assertEqual(len(card["training"]["losses"]), 12)
        result = self.trainer("evaluate", "--model", out, "--gold", self.gold_file, "--json")
        self.assertAlmostEqual(json.loads(result.stdout)["f1"], card["scores"]["f1"], places=9)
        text = self.write("text.txt", "the zinc saw no fever.\n")
        result = self.trainer("predict", "--model", out, text)
        self.assertEqual(result.stdout, "the [zinc|Metal] saw no [fever|Ill].\n")
        result = self.trainer("predict", "--model", out, "--format", "jsonl", text)
        entities = json.loads(result.stdout)["entities"]
        self.assertEqual([(e["start"], e["end"], e["type"]) for e in entities], [(4, 8, "Metal"), (16, 21, "Ill")])
        again = self.trainer(*self.train_args("out", "--epochs", "12"))
        self.assertIn("already", again.stdout)

    def test_predict_reads_standard_input_and_conll(self):
        out = self.trained()
        result = self.trainer("predict", "--model", out, "--timing", input="iron\n")
        self.assertEqual(result.stdout, "[iron|Metal]\n")
        self.assertRegex(result.stderr, r"tagged 3 tokens in [0-9.]+ s: \d+ tokens/s")  # [CLS] iron [SEP]
        result = self.trainer("predict", "--model", out, "--input", "conll", "--format", "conll", "-", input="no\niron\n")
        self.assertEqual(result.stdout, "no\tO\niron\tB-Metal\n\n")

    def test_predict_reads_objects_and_keeps_their_members(self):
        out = self.trained()
        lines = self.write("in.jsonl", '{"id": 7, "text": "no zinc"}\n\n{"text": "", "entities": 1}\n')
        result = self.trainer("predict", "--model", out, "--format", "jsonl", lines)
        got = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual((got[0]["id"], [e["text"] for e in got[0]["entities"]]), (7, ["zinc"]))
        self.assertEqual(got[1], {"text": "", "entities": []})
        bad = self.write("bad.jsonl", '{"text": "a"}\n{"txt": "a"}\n')
        self.assert_fails(self.trainer("predict", "--model", out, bad), EXIT_INPUT, "bad.jsonl:2", '"text"')

    def test_what_it_is_sure_of(self):
        out = self.trained()
        words = self.write("words.conll", "the\nzinc\n")
        args = ["predict", "--model", out, "--format", "conll", "--constrained"]
        self.assertEqual(self.trainer(*args, "--sure", "0.5", words).stdout, "the\tO\nzinc\tB-Metal\n\n")
        unsure = self.trainer(*args, "--sure", "1", words).stdout
        self.assertEqual(unsure, "the\t-\nzinc\t-\n\n")
        again = self.write("again.conll", unsure + self.train_file.read_text())
        result = self.trainer("train", "--model", self.model, "--train", again, "--out", self.dir / "self", "--max-steps", "2",
                              "--threads", "1")
        self.assertEqual(result.returncode, EXIT_SIGNAL, result.stderr)
        self.assert_fails(self.trainer("predict", "--model", out, "--sure", "0.5", words), EXIT_USAGE, "--sure")

    def test_least_score(self):
        """Nothing is as sure as 1: written into the model, and another one said."""
        words = self.write("words.conll", "the\nzinc\n")
        out = self.dir / "unsure"
        args = self.train_args("unsure", "--min-score", "1")
        self.assertEqual(self.trainer(*args).returncode, EXIT_OK)
        self.assertEqual(json.loads((out / "config.json").read_text())["nermill_min_score"], 1)
        predict = lambda *more: self.trainer("predict", "--model", out, "--format", "conll", *more, words).stdout
        self.assertEqual(predict(), "the\tO\nzinc\tO\n\n")
        self.assertEqual(predict("--min-score", "0.5"), "the\tO\nzinc\tB-Metal\n\n")
        found = lambda *more: json.loads(self.trainer("evaluate", "--model", out, "--gold", self.gold_file, "--json", *more).stdout)["f1"]
        self.assertEqual(found(), 0)
        self.assertGreater(found("--min-score", "0"), 0.5)
        self.assert_fails(self.trainer("predict", "--model", out, "--min-score", "2", words), EXIT_USAGE, "from 0 to 1")

    def test_seeds_and_comparison(self):
        args = self.train_args("seeds", "--gold", self.gold_file, "--seeds", "1,2")
        result = self.trainer(*args)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        self.assertIn("deviation", result.stdout)
        summary = json.loads((self.dir / "seeds" / "seeds.json").read_text())
        cards = [json.loads((self.dir / "seeds" / f"seed-{n}" / "nermill.json").read_text()) for n in (1, 2)]
        f1 = [card["scores"]["f1"] for card in cards]
        self.assertEqual([s["f1"] for s in summary["seeds"]], f1)
        self.assertAlmostEqual(summary["mean"]["f1"], sum(f1) / 2)
        before = (self.dir / "seeds" / "seed-1" / "nermill.json").stat().st_mtime_ns
        self.assertEqual(self.trainer(*args).stdout, result.stdout)  # and nothing is trained again
        self.assertEqual((self.dir / "seeds" / "seed-1" / "nermill.json").stat().st_mtime_ns, before)
        first, second = (self.dir / "seeds" / f"seed-{n}" for n in (1, 2))
        tagged = self.write("second.conll", self.trainer("predict", "--model", second, "--format", "conll", self.gold_file).stdout)
        by_model, by_file = (json.loads(self.trainer("compare", "--gold", self.gold_file, first, side, "--rounds", "200",
                                                     "--json").stdout) for side in (second, tagged))
        self.assertEqual(by_model, by_file)
        self.assertAlmostEqual(by_model["difference"], f1[1] - f1[0])
        self.assertLessEqual(by_model["low"], by_model["high"])
        self.assert_fails(self.trainer("compare", "--gold", self.gold_file, first, self.train_file), EXIT_INPUT, "train.conll")
        self.assert_fails(self.trainer(*self.train_args("x", "--gold", self.gold_file, "--seeds", "1,x")), EXIT_INPUT, "--seeds")
        self.assert_fails(self.trainer(*self.train_args("x", "--seeds", "1,2")), EXIT_INPUT, "--gold")

    def test_mistakes_and_seen_entities(self):
        out = self.trained()
        gold = self.write("hard.conll", "zinc B-Metal\nsaw O\n\nno B-Ill\nfever I-Ill\n")
        seen = self.write("known.txt", "ZINC\n")
        result = self.trainer("evaluate", "--model", out, "--gold", gold, "--seen", seen, "--errors", self.dir / "errors.jsonl",
                              "--json")
        scores = json.loads(result.stdout)
        self.assertEqual((scores["seen"]["recall"], scores["unseen"]["recall"]), (1, 0))
        self.assertEqual((scores["correct"], scores["overlap"]["recall"]), (1, 1))
        errors = [json.loads(line) for line in (self.dir / "errors.jsonl").read_text().splitlines()]
        self.assertEqual([(e["kind"], e["gold"]["text"], e["predicted"]["text"], e["line"]) for e in errors],
                         [("boundary", "no fever", "fever", 4)])
        table = self.trainer("evaluate", "--model", out, "--gold", gold, "--errors", "-").stdout
        self.assertIn("1 with wrong ends", table)
        self.assertIn('"kind":"boundary"', table)
        self.assert_fails(self.trainer("evaluate", "--model", out, "--gold", gold, "--errors", self.dir / "no" / "x"), EXIT_INPUT,
                          "no/x")

    def test_score_of_columns(self):
        columns = self.write("three.conll", "a\tB-X\tB-X\nb\tO\tB-Y\n\nc\tB-X\tO\n")
        result = self.trainer("score", columns, "--json")
        score = json.loads(result.stdout)
        self.assertEqual((score["precision"], score["recall"], score["f1"]), (0.5, 0.5, 0.5))
        self.assertEqual(score["types"]["Y"]["predicted"], 1)
        self.assert_fails(self.trainer("score", self.write("two.conll", "a O\n")), EXIT_INPUT, "two.conll:1")


class CrfLayer(TrainerCase):
    def test_train_evaluate_predict_serve(self):
        """Masked words among the gold; what is found is BIO, its scores are probabilities, and the record says how."""
        masked = self.write("masked.conll", self.train_file.read_text().replace("of\tO", "of\t-").replace("iron\tB-Metal", "iron\t-"))
        result = self.trainer(*self.train_args("out", "--train", masked, "--gold", self.gold_file, "--epochs", "12", "--crf", "on"))
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        out = self.dir / "out"
        card = json.loads((out / "nermill.json").read_text())
        self.assertEqual(card["recipe"]["crf"], "on")
        self.assertGreater(card["scores"]["f1"], 0.95)
        scores = json.loads(self.trainer("evaluate", "--model", out, "--gold", self.gold_file, "--json").stdout)
        self.assertAlmostEqual(scores["f1"], card["scores"]["f1"], places=9)
        self.assertEqual(scores["iob2_strict"]["f1"], scores["f1"])  # nothing but BIO is found
        self.assertLess(scores["calibration"]["error"], 0.2)
        words = self.write("words.conll", "the\nzinc\n" * 70)  # longer than the model: windows, one chain
        tagged = self.trainer("predict", "--model", out, "--format", "conll", "--scores", words).stdout.split("\n")
        self.assertEqual(len(tagged), 142)
        self.assertEqual([line.split("\t")[1] for line in tagged[:140]], ["O", "B-Metal"] * 70)
        self.assertTrue(all(0 < float(line.split("\t")[2]) <= 1.000001 for line in tagged[:140]))
        sure = self.trainer("predict", "--model", out, "--format", "conll", "--sure", "1", words).stdout
        self.assertEqual({line.split("\t")[1] for line in sure.splitlines() if line}, {"-"})
        (out / "crf.safetensors").unlink()
        again = self.trainer(*self.train_args("out", "--train", masked, "--gold", self.gold_file, "--epochs", "12", "--crf", "on"))
        self.assertNotIn("already", again.stdout)  # half a model is no result

    def test_one_loss_only(self):
        for loss in ("--gce", "--label-smoothing"):
            result = self.trainer(*self.train_args("out", "--crf", "on", loss, "0.1"))
            self.assert_fails(result, EXIT_INPUT, loss[2:], "whole sentences")
        self.assert_fails(self.trainer(*self.train_args("out", "--crf", "maybe")), EXIT_USAGE, "--crf", "off, on")


class Kill(TrainerCase):
    KILLS = int(os.environ.get("NERMILL_TEST_KILLS", "10"))

    def args(self, out):
        return self.train_args(out, "--epochs", "24", "--checkpoint-steps", "1", "--gold-train", self.gold_file, "--recipe",
                               "then", "--gold-epochs", "24", "--dev-share", "0.2", "--crf", "on")

    def step(self, out):
        index = self.dir / out / "checkpoint.json"
        return json.loads(index.read_text())["step"] if index.exists() else 0

    def run_and_kill(self, out, rng):
        """Some steps more than there were, then kill -9 at a random moment: in a step, a checkpoint, a score."""
        before = self.step(out)
        with subprocess.Popen([harness.program("nermill-trainer"), *map(str, self.args(out))],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and self.step(out) <= before:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.02)
            process.kill()
            return process.wait(timeout=60)

    def test_killed_and_resumed_gives_the_same_bits(self):
        self.assertEqual(self.trainer(*self.args("whole"), timeout=600).returncode, EXIT_OK)  # a checkpoint a step
        rng = random.Random(11)
        for _ in range(self.KILLS):
            self.assertEqual(self.run_and_kill("parts", rng), -signal.SIGKILL)
        self.assertGreaterEqual(self.step("parts"), self.KILLS)
        result = self.trainer(*self.args("parts"), timeout=600)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        for name in ("model.safetensors", "crf.safetensors"):
            whole, parts = (self.dir / d / name for d in ("whole", "parts"))
            self.assertEqual(whole.read_bytes(), parts.read_bytes())
        self.assertEqual([p.name for p in (self.dir / "parts").glob("checkpoint*")], [])
        self.assertFalse((self.dir / "parts" / "best").exists())

    def test_sigterm_saves_and_says_so(self):
        args = self.train_args("out", "--checkpoint-steps", "0")
        args[args.index("--epochs") + 1] = "900"
        with subprocess.Popen([harness.program("nermill-trainer"), *map(str, args)], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True) as process:
            time.sleep(1)
            process.terminate()
            _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, EXIT_SIGNAL)
        self.assertIn("run it again to go on", stderr)
        self.assertTrue((self.dir / "out" / "checkpoint.json").exists())


class Storage(TrainerCase):
    def test_failed_write_leaves_the_last_checkpoint(self):
        self.assertEqual(self.trainer(*self.train_args("whole")).returncode, EXIT_OK)
        self.assertEqual(self.trainer(*self.train_args("out", "--max-steps", "7")).returncode, EXIT_SIGNAL)
        index = self.dir / "out" / "checkpoint.json"
        before = index.read_bytes()

        def no_room():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        result = self.trainer(*self.train_args("out"), preexec_fn=no_room)
        self.assertNotIn(result.returncode, (EXIT_OK, EXIT_SIGNAL))
        self.assertIn("checkpoint-", result.stderr)
        self.assertEqual(index.read_bytes(), before)
        self.assertEqual(self.trainer(*self.train_args("out")).returncode, EXIT_OK)
        whole, resumed = (self.dir / d / "model.safetensors" for d in ("whole", "out"))
        self.assertEqual(whole.read_bytes(), resumed.read_bytes())

    def test_the_encoder_is_not_overwritten(self):
        result = self.trainer(*self.train_args("base"))
        self.assert_fails(result, EXIT_INPUT, "the encoder's own directory")


class BadInput(TrainerCase):
    def train_fails(self, *words, code=EXIT_INPUT):
        self.assert_fails(self.trainer(*self.train_args("out")), code, *words)

    def test_data(self):
        for text, words in [
            ("a B-X\nb\n", ["train.conll:2", "no tag"]),
            ("a B-X\nb Q\n", ["train.conll:2", "is no BIO tag"]),
            (b"a B-X\n\xff\xfe O\n", ["train.conll:2", "not UTF-8"]),
            ("", ["train.conll", "no sentence"]),
            ("a O\n", ["no entity"]),
        ]:
            self.write("train.conll", text)
            self.train_fails(*words)
        self.train_file.unlink()
        self.train_fails("train.conll", "No such file")

    def test_model(self):
        weights = self.model / "model.safetensors"
        whole = weights.read_bytes()
        for data, word in [(whole[:-100], "model.safetensors"), (whole[:50], "model.safetensors"), (b"", "model.safetensors")]:
            weights.write_bytes(data)
            self.train_fails(word)
        weights.write_bytes(whole.replace(b'"F32"', b'"I32"'))
        self.train_fails("I32")
        weights.write_bytes(whole)
        (self.model / "vocab.txt").write_text("a\nb\n")
        self.train_fails("vocab.txt", "[UNK]")
        (self.model / "vocab.txt").write_text("\n".join(tiny_bert.VOCABULARY + ["more"]) + "\n")
        self.train_fails("the model embeddings for")
        (self.model / "vocab.txt").unlink()
        self.train_fails("neither tokenizer.json nor vocab.txt")
        (self.model / "config.json").write_text("{")
        self.assert_fails(self.trainer("evaluate", "--model", self.model, "--gold", self.gold_file), EXIT_INPUT)

    def test_command_line(self):
        self.assert_fails(self.trainer("train", "--model", "x"), EXIT_USAGE, "--out is missing")
        self.assert_fails(self.trainer(*self.train_args("out", "--lr", "fast")), EXIT_USAGE, "--lr", "fast")
        self.assert_fails(self.trainer("explode"), EXIT_USAGE, "explode")
        self.assert_fails(self.trainer("--broker", "tcp://127.0.0.1:9", "--out", "x", "--wait", "1"), 4, "127.0.0.1:9")
        self.assert_fails(self.trainer("predict", "--model", self.model), EXIT_INPUT)
        for command in ["train", "evaluate", "predict", "score", "--broker"]:
            result = self.trainer(command, *(["x"] if command == "--broker" else []), "--help")
            self.assertEqual(result.returncode, EXIT_OK)
            self.assertTrue(result.stdout.startswith("usage: nermill-trainer"))


class Transformers(TrainerCase):
    def test_loads_and_agrees(self):
        python = os.environ.get("NERMILL_TORCH_PYTHON")
        if not python:
            self.skipTest("set NERMILL_TORCH_PYTHON to a Python with torch and transformers to compare with them")
        with_crf = self.trainer(*self.train_args("crf", "--epochs", "12", "--crf", "on"))
        self.assertEqual(with_crf.returncode, EXIT_OK, with_crf.stderr)
        for out, word in ((self.trained(), ""), (self.dir / "crf", "CRF")):
            result = subprocess.run(
                [python, HERE / "transformers_load.py", harness.program("nermill-trainer"), out, self.gold_file],
                capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(result.returncode, 0, result.stderr[-2000:])
            self.assertIn("the same tags", result.stdout)
            self.assertTrue(result.stdout.startswith(word), result.stdout)
