"""A changed prompt, model or list: never mixed silently with what there is; kept or set aside, as somebody says."""

import json
import os
import signal
import subprocess

import tiny_bert
from fake_llm import FakeLLM
from harness import EXIT_INPUT, EXIT_OK, program
from test_run import FRUIT, TOWNS, RunCase

GENERATION = 1 << 48


class GenerationCase(RunCase):
    def change(self, project, old, new):
        path = project / "project.yaml"
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))

    def samples(self, project):
        return [json.loads(x) for x in (project / "run/data/train.jsonl").read_text().splitlines()]

    def tasks(self, project):
        return {x["provenance"]["task"] for x in self.samples(project)}

    def run_it(self, project, *args, code=EXIT_OK):
        return self.finish(self.start(project, *args), code)

    def refused(self, project, *words):
        _, err = self.finish(self.start(project), EXIT_INPUT)
        for word in ("--new-generation keep", "fresh", *words):
            self.assertIn(word, err)

    def data_of_broker(self, project, key):
        """A number of the statistics; the broker is started alone for it."""
        process = self.start_broker(project)
        value = self.wait_for(lambda: self.stats(project).get(key), process)
        process.send_signal(signal.SIGTERM)
        process.wait()
        return value

    def start_broker(self, project, *args):
        process = subprocess.Popen(
            [program("nermill-broker"), str(project), "--state", str(project / "run" / "broker"), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def kill_group(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Generations(GenerationCase):
    def test_a_changed_prompt_stops_then_keeps(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=30, more="generation: {domain: cooking}\n")
            self.run_it(project)
            before, bought = self.tasks(project), len(llm.bodies)
            self.change(project, "domain: cooking", "domain: travel")
            self.change(project, "samples: 30", "samples: 50")
            self.refused(project, "generation: domain changed", "it was cooking and is now travel")
            self.assertEqual(len(llm.bodies), bought, "bought before anybody said what is to become of the samples")
            self.run_it(project, "--new-generation", "keep")
            after = self.tasks(project)
            self.assertLessEqual(before, after)
            self.assertEqual(len(after), 50)
            self.assertTrue(all(t >= GENERATION for t in after - before))
            for body in llm.bodies[bought:]:
                self.assertIn(b"travel", body)
                self.assertNotIn(b"cooking", body)
            # The option is no command to begin yet another one: the same command line resumes.
            bought = len(llm.bodies)
            self.run_it(project, "--new-generation", "keep")
            self.run_it(project)
            self.assertEqual(len(llm.bodies), bought)
            self.assertEqual(self.tasks(project), after)

    def plan(self, project):
        result = self.nermill("run", project, "--plan", "--json")
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return json.loads(result.stdout)

    def test_priced_before_anything_is_spent(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=30, more="generation: {domain: cooking}\n")
            plan = self.plan(project)
            self.assertFalse(plan["begun"])
            self.assertEqual((plan["left"]["samples"], plan["cost"]["own_averages"]), (30, False))
            self.assertFalse((project / "run").exists(), "a plan writes nothing")
            self.run_it(project)
            plan, bought = self.plan(project), len(llm.bodies)
            self.assertEqual((plan["done"]["samples"], plan["left"]["samples"], plan["cost"]["calls"]), (30, 0, 0))
            done = plan["done"]
            self.assertEqual(done["calls"], done["accepted"] + done["rejected"])
            self.assertEqual(done["rejected"], sum(done["rejected_by_rule"].values()))
            self.change(project, "domain: cooking", "domain: travel")
            self.change(project, "samples: 30", "samples: 50")
            plan = self.plan(project)
            self.assertEqual([(c["name"], c["was"], c["now"]) for c in plan["changed"]],
                             [("generation: domain", "cooking", "travel")])
            self.assertEqual((plan["keep"]["stay"], plan["keep"]["aside"], plan["fresh"]["aside"]), (30, 0, 30))
            self.assertEqual(plan["left"]["samples"], 20)
            self.assertTrue(plan["cost"]["own_averages"])
            self.assertGreaterEqual(plan["cost"]["calls"], 20)
            cost = plan["cost"]
            self.assertAlmostEqual(cost["tokens_in"], 100 * cost["calls"])  # as the server counts
            self.assertEqual((cost["money"], cost["endpoint_prices"]), (0, False))
            self.change(project, "concurrency: 4", "concurrency: 4\n    price_in: 2.5\n    price_out: 10")
            cost = self.plan(project)["cost"]
            self.assertAlmostEqual(cost["money"], (2.5 * cost["tokens_in"] + 10 * cost["tokens_out"]) / 1e6)
            self.assertTrue(cost["endpoint_prices"])
            words = self.nermill("run", project, "--plan").stdout
            self.assertIn("generation: domain: cooking -> travel", words)
            self.assertIn("--new-generation keep: 30 samples", words)
            self.assertEqual(len(llm.bodies), bought)
            self.run_it(project, "--new-generation", "keep")
            self.assertEqual(self.plan(project)["changed"], [])
            # A list cut: what is set aside is counted, and not yet done.
            (project / "Fruit.txt").write_text("\n".join(FRUIT[1:]) + "\n")
            plan = self.plan(project)
            gone = sum(FRUIT[0] in x["text"] for x in self.samples(project))
            self.assertEqual(plan["keep"]["aside"], gone)
            self.assertEqual(plan["left"]["samples"], gone)
            self.assertEqual(len(self.samples(project)), 50)

    def test_fresh_sets_aside_and_deletes_nothing(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.2) as llm:
            project = self.make(llm, samples=30)
            self.run_it(project)
            self.change(project, "model: fake", "model: better")
            self.refused(project, "endpoints: model changed", "better")
            bought = len(llm.bodies)
            self.run_it(project, "--new-generation", "fresh")
            self.assertEqual(len(self.samples(project)), 30)
            self.assertTrue(all(t >= GENERATION for t in self.tasks(project)))
            self.assertTrue(all(x["provenance"]["model"] in ("better", "fake") for x in self.samples(project)))
            self.assertGreaterEqual(len(llm.bodies), bought + 30)
            self.run_it(project, "--new-generation", "fresh")  # nothing changed: nothing begins
            self.assertEqual(len(self.samples(project)), 30)
            self.assertEqual(self.data_of_broker(project, "responses"), len(llm.bodies))

    def test_changed_lists(self):
        """Samples stay whose entities are all still listed, with the same types."""
        with FakeLLM(FRUIT + TOWNS + ["pomelo"]) as llm:
            project = self.make(llm, samples=60)
            self.run_it(project)
            before = self.samples(project)
            path = project / "Fruit.txt"
            path.write_text(path.read_text().replace("apple\n", "").replace("walnut\n", "walnut\npomelo\n"))
            self.refused(project, "the entity lists changed")
            self.run_it(project, "--new-generation", "keep")
            gone = {x["provenance"]["task"] for x in before if "apple" in x["text"]}
            kept = {x["provenance"]["task"] for x in before} - gone
            self.assertTrue(gone)
            after = self.samples(project)
            self.assertEqual(len(after), 60)
            self.assertLessEqual(kept, self.tasks(project))
            self.assertFalse(any("apple" in x["text"] for x in after))
            # And coverage is counted by the new lists: those that stay, and the new ones.
            process = self.start_broker(project)
            coverage = self.wait_for(lambda: self.stats(project).get("coverage"), process)
            process.send_signal(signal.SIGTERM)
            process.wait()
            uses = sum(sum(w in x["text"] for w in FRUIT[1:] + TOWNS + ["pomelo"]) for x in after)
            self.assertEqual(round(coverage["mean"] * coverage["entities"]), uses)

    def test_under_way(self):
        """Stopped in the middle: open tasks of the old prompt are set aside, their answers that still come are kept in
        the log and make no sample."""
        with FakeLLM(FRUIT + TOWNS, delay=0.2) as llm:
            project = self.make(llm, samples=60, more="generation: {domain: cooking}\n")
            process = self.start(project, start_new_session=True)
            self.wait_accepted(project, process, 20)
            self.kill_group(process)
            self.change(project, "domain: cooking", "domain: travel")
            self.run_it(project, "--new-generation", "keep")
            lines = self.check_data(project, 60)
            new = [x for x in lines if x["provenance"]["task"] >= GENERATION]
            self.assertGreater(len(new), 0)
            self.assertGreater(60 - len(new), 10)
            # Every answered call is in the log, those of the old prompt too.
            self.assertGreaterEqual(self.data_of_broker(project, "responses"), len(llm.bodies) - 4)


class GenerationsTrained(RunCase):
    def test_training_leaves_out_what_is_set_aside(self):
        program("nermill-trainer")
        encoder = tiny_bert.write(self.dir / "encoder")
        words = ["zinc", "iron", "fever", "cough"]
        with FakeLLM(words) as llm:
            project = self.project(url=llm.url, samples=30,
                                   more=f"trainer: {{model: '{encoder}', epochs: 1, batch: 8}}\n",
                                   Metal="zinc\niron\n", Ill="fever\ncough\n")
            self.finish(self.start(project, train=True))
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("samples: 30", "samples: 20").replace("version: 1", "version: 1\nseed: 5"))
            self.finish(self.start(project, "--new-generation", "fresh", train=True))
            record = json.loads((project / "run/model/nermill.json").read_text())
            self.assertEqual(record["data"]["sentences"], 20)
