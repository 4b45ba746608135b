"""Requests that an earlier generation of the run was answered: used again, never for two samples of one data set."""

import itertools
import re
import shutil

from fake_llm import FakeLLM
from harness import EXIT_OK
from test_generation import GENERATION, GenerationCase
from test_run import FRUIT, TOWNS


class Counting(FakeLLM):
    """No two of its answers are alike."""

    def sentence(self, user, rng, form=None):
        return super().sentence(user, rng, form)[:-1] + f" in week {next(self.number)}."

    number = itertools.count()


class Reuse(GenerationCase):
    def back_and_forth(self, more="", reject_share=0.3, samples=40):
        """Generations 0 and 1 with a prompt of their own each; what 2, which is 0's again, bought."""
        with FakeLLM(FRUIT + TOWNS, reject_share=reject_share) as llm:
            project = self.make(llm, samples=samples, more=f"generation: {{domain: cooking{more}}}\n")
            self.run_it(project)
            first = {x["text"] for x in self.samples(project)}
            self.change(project, "domain: cooking", "domain: travel")
            bought = len(llm.bodies)
            self.run_it(project, "--new-generation", "fresh")
            self.assertGreaterEqual(len(llm.bodies), bought + samples, "another prompt is another request")
            self.assertEqual(len(self.samples(project)), samples)
            self.change(project, "domain: travel", "domain: cooking")
            bought = len(llm.bodies)
            self.run_it(project, "--new-generation", "fresh")
            lines = self.check_data(project, samples)
            self.assertTrue(all(x["provenance"]["task"] >= 2 * GENERATION for x in lines))
            return len(llm.bodies) - bought, llm.bought_again(), first, {x["text"] for x in lines}, project

    def test_nothing_is_bought_twice(self):
        bought, again, first, third, project = self.back_and_forth()
        self.assertEqual(again, 0)
        self.assertLessEqual(bought, 4)  # tasks beyond those that the first generation had opened when it was complete
        self.assertGreaterEqual(len(first & third), 36)
        self.assertGreaterEqual(self.data_of_broker(project, "reused"), 40)
        check = self.nermill("check", project / "run" / "broker", name="nermill-broker")
        self.assertEqual(check.returncode, EXIT_OK, check.stderr + check.stdout)

    def test_only_if_the_project_allows_it(self):
        bought, again, _, _, _ = self.back_and_forth(more=", reuse: false", samples=20)
        self.assertGreaterEqual(bought, 20)
        self.assertGreaterEqual(again, 16)

    def test_killed_in_the_middle(self):
        """The answers are the broker's: it does not matter which generator has bought them, nor what was killed."""
        with FakeLLM(FRUIT + TOWNS, delay=0.01) as llm:
            project = self.make(llm, samples=60, more="generation: {domain: cooking}\n")
            process = self.start(project, start_new_session=True)
            self.wait_accepted(project, process, 30)
            self.kill_group(process)
            self.change(project, "domain: cooking", "domain: travel")
            process = self.start(project, "--new-generation", "fresh", start_new_session=True)
            self.wait_accepted(project, process, 10)
            self.kill_group(process)
            for state in (project / "run").glob("generator*"):
                shutil.rmtree(state)
            self.change(project, "domain: travel", "domain: cooking")
            self.run_it(project, "--new-generation", "fresh")
            self.check_data(project, 60)
            self.assertLessEqual(llm.bought_again(), 3 * 4)  # on the wire when they were killed, or in the spool

    def test_what_stays_is_never_doubled(self):
        """keep: samples of the old generation stay.  Dead letters leave gaps in its plan, so that the last generation
        asks again what the first one has samples of: those answers make no second one."""
        with Counting(FRUIT + TOWNS, reject_share=0.5) as llm:
            project = self.make(llm, samples=40, more="generation: {domain: cooking, attempts: 1}\n")
            self.run_it(project)
            for was, now, samples in (("cooking", "travel", 44), ("travel", "cooking", 70)):
                self.change(project, f"domain: {was}", f"domain: {now}")
                path = project / "project.yaml"
                path.write_text(re.sub(r"samples: \d+", f"samples: {samples}", path.read_text()))
                self.run_it(project, "--new-generation", "keep")
            lines = self.check_data(project, 70)
            self.assertGreater(llm.bought_again(), 0, "no request was repeated: this test shows nothing")
            self.assertEqual(len({x["text"] for x in lines}), 70)
