"""No accepted text twice in a run, nearly twice, or one template too often; no text that repeats a test sentence.

The scripted LLM repeats itself on purpose.  What comes out is compared by naive sets here, pair by pair.
"""

import collections
import itertools
import os
import re
import signal

from fake_llm import ENDS, PLACES, THINGS, VERBS, FakeLLM
from test_run import FRUIT, TOWNS, RunCase, children

NEAR, PER_TEMPLATE = 0.8, 3
GOLD = ("In this long sentence of the secret test set a northern survey of fourteen words found one apple in Oslo .",
        "A rural cohort listed Lima .")


class Repeating(FakeLLM):
    """Every third text has few forms, every third is an earlier one with another case or one word more."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.said = []

    def sentence(self, user, rng, form=None):
        if form:  # how a grammar's canary is answered
            return super().sentence(user, rng, form)
        asked = re.findall(r"Terms:(.*)", user)
        found = [w for w in self.words if asked and re.search(rf"(?<!\w){re.escape(w)}(?!\w)", asked[-1])]
        terms = " and ".join(found) or "nothing"
        way = rng.randrange(3)
        if way == 0:
            text = f"The {rng.choice(PLACES[:2])} survey of last year described {terms} with much care in twelve places."
        elif way == 1 and (before := [t for t in self.said if {w for w in self.words if w in t} == set(found)]):
            text = rng.choice(before)
            text = rng.choice([text, "THE" + text[3:], text.replace(" described", ", described"), text[:-1] + " once more."])
        else:
            a, b, c, d = (rng.choice(x) for x in (PLACES, THINGS, VERBS, ENDS))
            text = f"The {a} {b} {c} {terms} {d} while {rng.choice(PLACES)} people of every age {rng.choice(VERBS)} them."
        self.said.append(text)
        return text


def words(text):
    return tuple(re.findall(r"[^\W_]+", text.lower()))


def grams(text, n=5):
    found = words(text)
    return {found[i:i + n] for i in range(len(found) - n + 1)} if len(found) >= n else {found}


def blanked(sample):
    """The text with its mentions blanked; this LLM writes of nothing but what was asked for."""
    out, at = "", 0
    for span in sorted(sample["entities"], key=lambda m: m["start"]):
        out += sample["text"][at:span["start"]] + " _ "
        at = span["end"]
    return tuple(re.findall(r"[^\W_]+|_", (out + sample["text"][at:]).lower()))


class Dedup(RunCase):
    def rejected(self, project):
        return self.last["rejected_by_rule"]

    def run_to_end(self, project, victims=()):
        process = self.start(project)
        accepted = 15
        self.last = {}
        for victim in victims:
            self.wait_accepted(project, process, accepted)
            pid = self.wait_for(lambda name=victim: children(process.pid).get(name), process)
            os.kill(pid, signal.SIGKILL)
            self.wait_for(lambda name=victim, old=pid: children(process.pid).get(name, old) != old, process)
            accepted += 15
        while process.poll() is None:
            self.last = self.stats(project) or self.last
        self.finish(process)

    def check_texts(self, samples):
        texts = [s["text"] for s in samples]
        self.assertEqual(len({words(t) for t in texts}), len(texts), "the same words twice")
        sets = [grams(t) for t in texts]
        for (i, a), (j, b) in itertools.combinations(enumerate(sets), 2):
            self.assertLess(len(a & b) / len(a | b), NEAR, f"\n{texts[i]}\n{texts[j]}")
        templates = collections.Counter(blanked(s) for s in samples if s["entities"])
        self.assertLessEqual(max(templates.values()), PER_TEMPLATE, templates.most_common(3))
        self.assertEqual(max(templates.values()), PER_TEMPLATE)  # so many are allowed, and came

    def test_over_kills(self):
        """The broker is killed with -9 in mid-run: what it accepted before is known to it afterwards."""
        with Repeating(FRUIT + TOWNS, delay=0.05) as llm:
            project = self.make(llm, samples=90, more="dedup: {exact: true, near: %g, per_template: %d}\n"
                                "generation: {attempts: 6}\n" % (NEAR, PER_TEMPLATE))
            self.run_to_end(project, ["broker", "broker"])
            self.check_texts(self.check_data(project, 90))
            rules = self.rejected(project)
            for rule in ("duplicate", "near_duplicate", "template"):
                self.assertGreater(rules.get(rule, 0), 0, rules)
            self.assertGreater(self.last["dedup"]["keys"], 0)
            again = [b for b in llm.bodies if b"has been written before" in b]
            self.assertTrue(again, "the model was not told why")

    def test_an_index_that_is_lost_is_made_again(self):
        with Repeating(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=30, more="dedup: {per_template: %d}\ngeneration: {attempts: 6}\n" % PER_TEMPLATE)
            self.run_to_end(project)
            (project / "run" / "broker" / "dedup.index").unlink()
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("samples: 30", "samples: 60"))
            self.run_to_end(project)
            self.check_texts(self.check_data(project, 60))

    def test_switched_off(self):
        """As one may want it where the template of the texts is fixed."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=20, more="dedup: {exact: false, near: 0}\n"
                                "generation: {negatives: 0, entities: {min: 1, max: 1}, words: {min: 3, max: 40}, attempts: 1}\n")
            usual = llm.sentence
            llm.sentence = lambda user, rng, form=None: usual(user, rng, form) if form else "The survey described %s in full." % next(
                (w for w in FRUIT + TOWNS if re.search(rf"Terms:.*\b{w}\b", user)), "nothing")
            self.run_to_end(project)
            texts = [s["text"] for s in self.check_data(project, 20)]
            self.assertLess(len(set(texts)), len(texts))


class Leakage(RunCase):
    def test_test_sentences_are_refused(self):
        """What repeats the test set is refused and counted, and no word of the test set reaches a prompt."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            usual = llm.sentence

            def leaking(user, rng, form=None):
                asked = re.findall(r"Terms:(.*)", user)[-1:] or [""]
                tail = "people in this long sentence of the secret test set a northern survey of fourteen words spoke."
                if not form and rng.random() < 0.4:
                    return "The " + " and ".join(w for w in llm.words if re.search(rf"\b{w}\b", asked[0])) + " " + tail
                return usual(user, rng, form)

            llm.sentence = leaking
            self.write("gold.conll", "".join("\n".join(f"{w}\tO" for w in s.split()) + "\n\n" for s in GOLD))
            project = self.make(llm, samples=30, more="leakage: {gold: [../gold.conll], ngram: 13}\ngeneration: {attempts: 6}\n")
            process = self.start(project)
            last = {}
            while process.poll() is None:
                last = self.stats(project) or last
            self.finish(process)
            self.assertGreater(last["rejected_by_rule"].get("leakage", 0), 0, last["rejected_by_rule"])
            for sample in self.check_data(project, 30):
                self.assertFalse(grams(sample["text"], 13) & grams(GOLD[0], 13), sample["text"])
            secret = re.compile(rb"rural cohort listed|found one apple in Oslo")
            self.assertEqual([b for b in llm.bodies if secret.search(b)], [])

    def test_a_missing_test_set_is_told(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=5, more="leakage: {gold: [nothing.conll]}\n")
            result = self.nermill("run", project, "--no-train")
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("nothing.conll", result.stderr)
            self.assertEqual(llm.bodies, [])


if __name__ == "__main__":
    import unittest

    unittest.main()
