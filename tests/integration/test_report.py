"""nermill report: figures against a plain count of the same data; the page against the figures; the page in a browser."""

import html.parser
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import time
import unittest
import xml.etree.ElementTree
import zlib
from collections import Counter

import harness
from corpora import CORPORA, read_jsonl
from fake_llm import FakeLLM
from json_schema import errors

SCHEMA = json.loads((harness.ROOT / "schemas" / "report.schema.json").read_text())
NAMES = {"Drug": ["aspirin", "Zarapam", "norlex"], "Gene": ["TP53", "BRCA1"]}


def sentences():
    """Samples with duplicates, near duplicates, templates, masked spans, none at all, and characters to be escaped."""
    rows = []
    for i in range(60):
        drug, gene = NAMES["Drug"][i % 3], NAMES["Gene"][i % 2]
        text = f"In case {i} of <a> & \"b\" 💊 {drug} acts on {gene} and so on number {i * 7}."
        rows.append((text, [(text.index(drug), len(drug), "Drug"), (text.index(gene), len(gene), None if i % 10 == 0 else "Gene")]))
    for i in range(20):
        rows.append((f"Plain words number {i} with nothing else in a row of words that is long enough here.", []))
    rows += [rows[0], rows[61]]
    rows += [(" ".join(f"word{k}" for k in range(40)) + f" end{i}", []) for i in range(3)]
    return rows


def jaccard(a, b):
    return len(a & b) / len(a | b)


class Page(html.parser.HTMLParser):
    """Every figure of the page by its path, every sample's text and marks, every table."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.tags, self.attributes = {}, Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        attrs = dict(attrs)
        if tag == "data":
            self.figures.setdefault(attrs["data-figure"], set()).add(attrs["value"])


class Report(harness.Case):
    def data(self, rows=None, name="data.jsonl"):
        lines = [{"text": text, "entities": [[at, at + n, kind] for at, n, kind in marks]}
                 for text, marks in (sentences() if rows is None else rows)]
        raw = self.write("raw.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        self.assertEqual(self.nermill("import", raw, "--out", self.dir / name).returncode, 0)
        return self.dir / name

    def figures(self, data, *args):
        result = self.nermill("report", data, "--json", *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(errors(report, SCHEMA, SCHEMA), [])
        return report

    def page(self, data, *args):
        out = self.dir / "report.html"
        result = self.nermill("report", data, "--out", out, *args)
        self.assertEqual((result.returncode, result.stdout), (0, f"{out}\n"), result.stderr)
        return out.read_text(encoding="utf-8")

    # ---- the figures

    def test_counts(self):
        data = self.data()
        samples, report = read_jsonl(data), self.figures(data)
        tokens = [token for s in samples for token in s["tokens"]]
        tags = [tag for s in samples for tag in s["tags"]]
        spans = [(s["text"][e["start"]:e["end"]].lower(), e["type"]) for s in samples for e in s["entities"]]
        counts = report["counts"]
        self.assertEqual((counts["samples"], counts["tokens"]), (len(samples), len(tokens)))
        self.assertEqual(counts["characters"], sum(len(s["text"]) for s in samples))
        self.assertEqual((counts["masked_tokens"], counts["masked_spans"]), (tags.count("-"), sum(k is None for _, k in spans)))
        self.assertAlmostEqual(counts["masked_share"], tags.count("-") / len(tags))
        labelled = [span for span in spans if span[1]]
        self.assertEqual(counts["mentions"], len(labelled))
        self.assertEqual(report["types"], [{"type": kind, "mentions": sum(k == kind for _, k in labelled),
                                            "entities": len({t for t, k in labelled if k == kind})} for kind in ("Drug", "Gene")])
        self.assertEqual(counts["samples_without_entity"], sum(not any(e["type"] for e in s["entities"]) for s in samples))
        self.assertIsNone(report["generation"])
        self.assertIsNone(report["leakage"])
        self.assertIsNone(report["coverage"]["lists"])
        self.assertIsNone(report["coverage"]["out_of_list_share"])

    def test_histograms(self):
        data = self.data()
        samples, report = read_jsonl(data), self.figures(data)
        lengths = sorted(len(s["tokens"]) for s in samples)
        self.assertAlmostEqual(report["length"]["mean"], sum(lengths) / len(lengths))
        self.assertEqual(report["length"]["max"], lengths[-1])
        self.assertEqual(report["length"]["median"], lengths[math.ceil(len(lengths) / 2) - 1])
        for part, values in (("length", lengths),
                             ("entities_per_sample", [sum(e["type"] is not None for e in s["entities"]) for s in samples])):
            for found in report[part]["bins"]:
                top = math.inf if found["to"] is None else found["to"]
                self.assertEqual(found["count"], sum(found["from"] <= v <= top for v in values), (part, found))

    def test_coverage(self):
        data = self.data()
        samples, coverage = read_jsonl(data), self.figures(data)["coverage"]
        mentions, contexts = Counter(), {}
        for s in samples:
            starts = [start for start, _ in s["offsets"]]
            ends = [end for _, end in s["offsets"]]
            words = [token.lower() for token in s["tokens"]]
            for e in s["entities"]:
                if e["type"]:
                    key, a, b = (e["text"].lower(), e["type"]), starts.index(e["start"]), ends.index(e["end"])
                    mentions[key] += 1
                    contexts.setdefault(key, set()).add((tuple(words[max(0, a - 2):a]), tuple(words[b + 1:b + 3])))
        self.assertEqual(coverage["entities"], len(mentions))
        self.assertEqual({(f["text"].lower(), f["type"]): f["mentions"] for f in coverage["frequent"]}, dict(mentions))
        self.assertEqual({(f["text"].lower(), f["type"]): f["contexts"] for f in coverage["frequent"]},
                         {key: len(found) for key, found in contexts.items()})
        self.assertEqual(sum(b["count"] for b in coverage["mentions"]), len(mentions))
        self.assertAlmostEqual(coverage["contexts_per_entity"], sum(map(len, contexts.values())) / len(mentions))

    def test_diversity(self):
        data = self.data()
        samples, diversity = read_jsonl(data), self.figures(data)["diversity"]
        texts = [[token.lower() for token in s["tokens"]] for s in samples]
        grams = lambda words, n: [tuple(words[i:i + n]) for i in range(len(words) - n + 1)]
        for n in (1, 2, 3):
            found = [gram for words in texts for gram in grams(words, n)]
            self.assertAlmostEqual(diversity[f"distinct_{n}"], len(set(found)) / len(found))
        sets = [set(grams(words, 8)) for words in texts]
        repeating = sum(any(own & other for k, other in enumerate(sets) if k != i) for i, own in enumerate(sets))
        self.assertAlmostEqual(diversity["self_repetition_share"], repeating / len(samples))
        text = "".join(s["text"] + "\n" for s in samples).encode()
        self.assertAlmostEqual(diversity["compression_ratio"], len(text) / len(zlib.compress(text, 9)), delta=0.02)
        self.assertAlmostEqual(diversity["self_bleu"], self.self_bleu(texts, grams), places=6)

    def self_bleu(self, texts, grams):
        """BLEU-4 of each text with all others as references, as its paper defines it, a precision of 0 counted as 0.1."""
        total = 0
        for i, own in enumerate(texts):
            others = texts[:i] + texts[i + 1:]
            logs = 0
            for n in range(1, 5):
                counts = Counter(grams(own, n))
                most = Counter()
                for other in others:
                    most |= Counter(grams(other, n))
                hits = sum(min(count, most[gram]) for gram, count in counts.items())
                logs += math.log((hits or 0.1) / max(1, sum(counts.values()))) / 4
            nearest = min((abs(len(other) - len(own)), len(other)) for other in others)[1]
            total += math.exp(logs) * (1 if len(own) >= nearest else math.exp(1 - nearest / len(own)))
        return total / len(texts)

    def test_duplicates(self):
        data = self.data()
        samples, found = read_jsonl(data), self.figures(data)["duplicates"]
        words = [[t.lower() for t in s["tokens"] if t[0].isalnum()] for s in samples]
        self.assertAlmostEqual(found["exact_share"], (len(words) - len(set(map(tuple, words)))) / len(words))
        sets = [{tuple(w[i:i + 5]) for i in range(max(1, len(w) - 4))} for w in words]
        near = {i for i, k in itertools.permutations(range(len(sets)), 2) if jaccard(sets[i], sets[k]) >= 0.8}
        self.assertGreaterEqual(len(near), 7)
        self.assertAlmostEqual(found["near_share"], len(near) / len(sets))
        same = self.figures(self.data([("Give aspirin now.", [(5, 7, "Drug")]), ("Give norlex now.", [(5, 6, "Drug")]),
                                       ("Give it now.", []), ("Take norlex now.", [(5, 6, "Drug")])]))["duplicates"]
        self.assertEqual((same["template_share"], same["largest_template"]), (2 / 3, 2))

    def test_gold_and_leakage(self):
        long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        gold = self.write("gold.conll", "".join(f"{w}\tO\n" for w in long.split()) + "\nShort\tB-Drug\none\tO\n")
        data = self.data([(f"Before {long}, after.", []), ("short ONE", []), ("one two three four five six seven", []), ("Other", [])])
        report = self.figures(data, "--gold", gold)
        self.assertEqual(report["leakage"], {"gold_sentences": 2, "samples": 2, "words": 13, "share": 0.5})
        self.assertEqual(report["gold"]["counts"]["mentions"], 1)

    def test_gold_of_a_project(self):
        """A project's test sets are gold without being named again; what its training has is compared with only."""
        fruit = ["apple", "banana", "cherry", "lemon"]
        gold = "apple\tB-Fruit\nhere\tO\n\nand\tO\n"
        with FakeLLM(fruit) as llm:
            project = self.project(url=llm.url, samples=12, Fruit="\n".join(fruit) + "\n",
                                   more="leakage: {gold: [gold.conll], ngram: 11}\n")
            (project / "gold.conll").write_text(gold)
            self.assertEqual(self.nermill("run", "--no-train", project).returncode, 0)
        report = self.figures(project)
        self.assertEqual(report["leakage"], {"gold_sentences": 2, "samples": 0, "words": 11, "share": 0})
        self.assertEqual(report["gold"]["counts"]["samples"], 2)
        text = (project / "project.yaml").read_text()
        (project / "project.yaml").write_text(text.replace("leakage: {gold: [gold.conll], ngram: 11}", "trainer: {gold_train: gold.conll}"))
        report = self.figures(project)
        self.assertIsNone(report["leakage"])
        self.assertEqual(report["gold"]["counts"]["samples"], 2)

    def test_seed(self):
        rows = [(f"Sentence number {i} of many.", []) for i in range(300)]
        data = self.data(rows)
        shown = [[s["id"] for s in self.figures(data, "--seed", seed)["samples"]] for seed in (1, 1, 2)]
        self.assertEqual(shown[0], shown[1])
        self.assertNotEqual(shown[0], shown[2])
        self.assertEqual((len(shown[0]), len(set(shown[0])), shown[0]), (50, 50, sorted(shown[0])))

    # ---- the page

    def assert_page(self, data, *args):
        text, report = self.page(data, *args), self.figures(data, *args)
        page = Page(text)
        xml.etree.ElementTree.fromstring(text)  # well-formed: raises where it is not
        self.assertFalse(re.search(r"https?://|//[a-z]|url\(|@import", text), "something from elsewhere")
        self.assertEqual([a for a in page.attributes if a[1] in ("src", "srcset", "action", "onload", "onclick")], [])
        self.assertEqual({value[0] for tag, name, value in page.attributes if name == "href" and tag == "a"}, {"#"})
        self.assertEqual(page.tags["script"], 0)
        self.assertGreaterEqual(page.tags["svg"], 4)
        for path, values in page.figures.items():
            value = report
            for key in path.split("."):
                value = value[key]
            self.assertEqual({json.loads(v) for v in values}, {value}, path)
        return page, report, text

    def test_page(self):
        data = self.data()
        page, report, text = self.assert_page(data, "--gold", CORPORA / "conll2003.txt")
        for part in ("counts", "coverage", "diversity", "duplicates", "leakage"):
            numbers = {f"{part}.{k}" for k, v in report[part].items() if isinstance(v, (int, float))}
            shown = numbers & set(page.figures)
            self.assertGreaterEqual(len(shown), 2, part)
        self.assertIn("gold.diversity.self_bleu", page.figures)
        root = xml.etree.ElementTree.fromstring(text)
        items = root.findall(".//ol[@class='samples']/li/p[1]")
        self.assertEqual(len(items), 50)
        for item, sample in zip(items, report["samples"], strict=True):
            for small in item.findall(".//small"):
                small.text = ""
            self.assertEqual("".join(item.itertext()), sample["text"])
            self.assertEqual(["".join(mark.itertext()) for mark in item.findall("mark")],
                             [sample["text"][e["start"]:e["end"]] for e in sample["entities"]])
        tables = root.findall(".//details//table")
        counted = [[int(td.text.replace(",", "")) for td in table.findall("./tbody/tr/td[1]")] for table in tables]
        self.assertEqual(counted, [[b["count"] for b in bins] for bins in (
            report["coverage"]["mentions"], report["coverage"]["contexts"], report["length"]["bins"],
            report["entities_per_sample"]["bins"])])

    def test_not_measured(self):
        """What is not known is not shown as nothing."""
        page, _, text = self.assert_page(self.data([("Nothing here.", [])]))
        self.assertNotIn("leakage.share", page.figures)
        self.assertNotIn("generation.cost", page.figures)
        self.assertGreaterEqual(text.count("not measured"), 4)

    def test_many_types(self):
        rows = [(f"word{i} and more", [(0, len(f"word{i}"), f"Type{i:02}")]) for i in range(40)]
        _, report, text = self.assert_page(self.data(rows))
        self.assertEqual(len(report["types"]), 40)
        self.assertIn("Mentions of the first types", text)

    def test_odd_text(self):
        """Whatever stands in a text, the page stays whole."""
        rows = [("</p><script>alert(1)</script> \u0001\u000b\uffff & \u2028 ]]>", [(0, 4, "X<y>&\"")]), ("a\tb\nc", [(0, 1, "")][:0])]
        page, _, _ = self.assert_page(self.data(rows))
        self.assertEqual(page.tags["script"], 0)

    def test_contrast(self):
        """Text on its ground, in the light and in the dark: at least 4.5 to 1 (WCAG 2.2, AA)."""
        css = (harness.ROOT / "cli" / "embedded" / "report.css").read_text()
        light, dark = (dict(re.findall(r"--(\w+): #([0-9a-f]{6})", block)) for block in css.split("@media (prefers-color-scheme: dark)")[:2])

        def luminance(color):
            parts = [int(color[i:i + 2], 16) / 255 for i in (0, 2, 4)]
            parts = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

        pairs = [("ink", "paper"), ("ink", "ground"), ("soft", "paper"), ("soft", "ground"), ("t0", "ground")]
        pairs += [(f"t{i}", f"m{i}") for i in range(8)] + [("ink", f"m{i}") for i in range(8)]
        for name, theme in (("light", light), ("dark", {**light, **dark})):
            for front, back in pairs:
                a, b = sorted((luminance(theme[front]), luminance(theme[back])))
                self.assertGreaterEqual((b + 0.05) / (a + 0.05), 4.5, f"{name}: {front} on {back}")

    # ---- of a run

    def test_run(self):
        fruit = ["apple", "banana", "cherry", "lemon"]
        with FakeLLM(fruit, reject_share=0.3) as llm:
            project = self.project(url=llm.url, samples=60, Fruit="\n".join(fruit) + "\n")
            text = (project / "project.yaml").read_text()
            (project / "project.yaml").write_text(text.replace("model: fake", "model: fake\n    price_in: 2\n    price_out: 4"))
            self.assertEqual(self.nermill("run", "--no-train", project).returncode, 0)
        page, report, _ = self.assert_page(project)
        made = report["generation"]
        self.assertEqual((report["counts"]["samples"], made["accepted"]), (60, 60))
        self.assertEqual(made["calls"], made["accepted"] + made["rejected"])
        self.assertGreater(made["rejected"], 0)
        self.assertEqual(sum(rule["count"] for rule in made["rejected_by_rule"]), made["rejected"])
        self.assertAlmostEqual(made["cost"], (2 * made["tokens_in"] + 4 * made["tokens_out"]) / 1e6, delta=made["calls"] * 1e-6)
        self.assertAlmostEqual(made["cost_per_1000"], made["cost"] * 1000 / 60)
        lists = report["coverage"]["lists"]
        self.assertEqual((lists["entities"], lists["seen"], lists["first_missing"]), (4, 4, []))
        self.assertEqual(report["coverage"]["out_of_list_share"], 0)
        self.assertIn("generation.cost", page.figures)
        self.assertEqual(report["name"], "test")
        self.assert_taken_away(project)

    def assert_taken_away(self, project):
        """A run's samples in the forms of other tools, and split."""
        for form, count in (("labelstudio", lambda p: len(json.loads(p.read_text()))), ("spacy", lambda p: len(json.loads(p.read_text()))),
                            ("doccano", lambda p: len(read_jsonl(p))), ("conll2003", lambda p: p.read_text().count("\n\n") - 1),
                            ("brat", lambda p: sum(len(t.read_text().splitlines()) for t in p.glob("*.txt")))):
            out = self.dir / f"run.{form}"
            self.assertEqual(self.nermill("export", project, "--format", form, "--out", out).returncode, 0)
            self.assertEqual(count(out), 60, form)
        result = self.nermill("split", project, "--out", self.dir / "parts", "--by", "entity", "--ratio", "2:0:1")
        self.assertEqual(result.returncode, 0, result.stderr)
        parts = list((self.dir / "parts").iterdir())
        self.assertEqual(sum(len(read_jsonl(part)) for part in parts), 60)
        self.assertNotIn(".all", " ".join(part.name for part in parts))

    def test_live_and_empty(self):
        """Beside a run that has made nothing yet: no figure is invented."""
        with FakeLLM(["apple"], delay=5) as llm:
            project = self.project(url=llm.url, samples=20, Fruit="apple\nbanana\n")
            run = subprocess.Popen([harness.program("nermill"), "run", "--no-train", str(project)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            try:
                end = time.monotonic() + 30
                while not list(project.glob("run/aligner-1/samples/data.mdb")) and time.monotonic() < end:
                    time.sleep(0.05)
                _, report, _ = self.assert_page(project)
            finally:
                run.kill()
                run.wait()
        self.assertEqual((report["counts"]["samples"], report["length"]["median"], report["samples"]), (0, 0, []))
        self.assertEqual((report["generation"]["calls"], report["generation"]["accepted_share"]), (0, None))
        self.assertIsNone(report["duplicates"]["near_share"])
        self.assertEqual(report["coverage"]["lists"]["seen"], 0)

    def test_wrong(self):
        self.assert_fails(self.nermill("report", self.dir / "no.jsonl"), harness.EXIT_INPUT, "no data set here")
        data = self.data()
        self.assert_fails(self.nermill("report", data, "--gold", self.dir / "no.conll"), harness.EXIT_INPUT, "no.conll")
        bad = self.write("bad.jsonl", '{"text": "a", "entities": [[0, 9, "X"]]}\n')
        self.assert_fails(self.nermill("report", bad), harness.EXIT_INPUT, "bad.jsonl:1:")
        self.assertFalse(pathlib.Path("report.html").exists())


class Browser(Report):
    """The page in headless Chromium: it is drawn, nothing is asked of any host, nothing is complained about."""

    def setUp(self):
        super().setUp()
        self.chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if self.chromium is None:
            self.skipTest("no chromium here: the page is not looked at in a browser")

    def open(self, page, name, *args):
        shot, log = self.dir / f"{name}.png", self.dir / f"{name}.net.json"
        done = subprocess.run(
            [self.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
             "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync",
             f"--user-data-dir={self.dir / name}", f"--log-net-log={log}", f"--screenshot={shot}", *args, page.as_uri()],
            capture_output=True, text=True, errors="replace", timeout=90, check=False, env={**os.environ, "HOME": str(self.dir)})
        self.assertTrue(shot.exists(), done.stderr[-2000:])
        self.assertEqual([line for line in done.stderr.splitlines() if "CONSOLE" in line], [])
        asked = set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]+)"', log.read_text(errors="replace")))
        # The browser's own house-keeping, if any, is to its maker's hosts.
        self.assertEqual({url for url in asked if not re.match(r"https?://[\w.-]*\.(google|googleapis|gvt1)\.com/", url)}, set())
        return shot.read_bytes()

    def test_browser(self):
        self.page(self.data(), "--gold", CORPORA / "conll2003.txt")
        page = self.dir / "report.html"
        shots = [self.open(page, "desktop", "--window-size=1280,1600"), self.open(page, "phone", "--window-size=390,1600"),
                 self.open(page, "dark", "--window-size=1280,1600", "--blink-settings=preferredColorScheme=0")]
        for shot in shots:
            self.assertGreater(len(shot), 20000)  # an empty page is a few hundred bytes
        self.assertNotEqual(shots[0], shots[2])


for inherited in [name for name in vars(Report) if name.startswith("test_")]:
    setattr(Browser, inherited, None)  # they are the figures' and the page's own

if __name__ == "__main__":
    unittest.main()
