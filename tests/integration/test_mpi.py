"""Many processes, one training: the losses of one process, whatever their number; one that is killed; going on with another
number."""

import json
import os
import shutil
import signal
import subprocess
import time

import harness
import tiny_bert
from harness import EXIT_OK

MPIRUN = shutil.which("mpirun")
ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
       "OMPI_MCA_btl": "self,vader", "OMPI_MCA_plm": "isolated", "OMP_NUM_THREADS": "1"}


class Mpi(harness.Case):
    def setUp(self):
        super().setUp()
        if MPIRUN is None:
            self.skipTest("mpirun is not installed (deploy/install-deps.sh --dev)")
        self.model = tiny_bert.write(self.dir / "base")
        self.train_file = self.write("train.conll", tiny_bert.corpus(123))
        self.dev_file = self.write("dev.conll", tiny_bert.corpus(30, seed=3))

    def command(self, ranks, out, *more):
        train = [harness.program("nermill-trainer"), "train", "--model", self.model, "--train", self.train_file, "--dev",
                 self.dev_file, "--out", self.dir / out, "--epochs", "3", "--lr", "0.003", "--batch", "8", "--threads", "1",
                 "--precision", "fp32", *more]
        start = [] if ranks == 1 else [MPIRUN, "-n", str(ranks)]
        return [*start, *map(str, train)]

    def train(self, ranks, out, *more):
        result = subprocess.run(self.command(ranks, out, *more), capture_output=True, text=True, timeout=120,
                                env={**os.environ, **ENV}, check=False)
        if ranks > 1 and "1 processes" in result.stderr:
            self.skipTest("nermill-trainer was built without MPI")
        return result

    def lines(self, out):
        return [json.loads(line) for line in (self.dir / out / "metrics.jsonl").read_text().splitlines()]

    def assert_same_course(self, a, b):
        """Step by step: sums in another order differ by rounding, which training lets grow a little."""
        a, b = self.lines(a), self.lines(b)
        self.assertEqual([line["step"] for line in a], [line["step"] for line in b])
        self.assertEqual(len(a), 3 * 16 + 3)
        for x, y in zip(a, b):
            if "loss" in x:
                self.assertAlmostEqual(x["loss"], y["loss"], delta=1e-4 * (1 + x["loss"]))
                self.assertAlmostEqual(x["grad_norm"], y["grad_norm"], delta=1e-3 * (1 + x["grad_norm"]))

    def test_losses_of_one_process(self):
        """Dropout is on: the masks are those of the whole step.  The last step has 3 sentences: with 4 processes one has
        none."""
        self.assertEqual(self.train(1, "one").returncode, EXIT_OK)
        for ranks in (2, 4):
            result = self.train(ranks, f"of-{ranks}")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn(f"{ranks} processes", result.stderr)
            self.assertIn(f"for the {ranks} processes on this machine", result.stderr)
            self.assertEqual(result.stdout.count("trained 48 steps"), 1, result.stdout)
            self.assert_same_course("one", f"of-{ranks}")
        again = self.train(2, "of-2")
        self.assertEqual(again.stdout.count("already"), 1, again.stdout)

    def test_crf_layer(self):
        """The layer's gradients are summed like any other; masked words are in its loss."""
        self.write("train.conll", self.train_file.read_text().replace("of\tO", "of\t-"))
        for ranks in (1, 3):
            result = self.train(ranks, f"crf-{ranks}", "--crf", "on")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        self.assert_same_course("crf-1", "crf-3")
        self.assertTrue((self.dir / "crf-3" / "crf.safetensors").exists())

    def test_killed_and_going_on_with_another_number(self):
        self.assertEqual(self.train(1, "whole").returncode, EXIT_OK)
        process = subprocess.Popen(self.command(2, "parts", "--checkpoint-steps", "1"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env={**os.environ, **ENV}, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        index = self.dir / "parts" / "checkpoint.json"
        end = time.monotonic() + 60
        while not index.exists() or json.loads(index.read_text())["step"] < 5:
            self.assertIsNone(process.poll(), "ended before it was killed")
            self.assertLess(time.monotonic(), end, "no step in a minute")
            time.sleep(0.005)
        os.kill(self.last_rank(process.pid), signal.SIGKILL)
        self.assertNotEqual(process.wait(timeout=60), EXIT_OK)  # one rank's death ends the job
        result = self.train(3, "parts")
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        self.assertIn("going on after step", result.stderr)
        self.assert_same_course("whole", "parts")

    def last_rank(self, mpirun):
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(mpirun)], capture_output=True, text=True,
                                  check=True).stdout.splitlines()
        ranks = [int(line.split()[0]) for line in children if "nermill-trainer" in line]
        self.assertEqual(len(ranks), 2, children)
        return max(ranks)

    def test_one_process_with_other_data_ends_the_job(self):
        other = self.write("other.conll", tiny_bert.corpus(123, seed=9))
        script = self.write("start.sh", f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && set -- "$@" --train {other}\nexec "$@"\n')
        script.chmod(0o755)
        command = self.command(2, "out")
        result = subprocess.run([*command[:3], str(script), *command[3:]], capture_output=True, text=True, timeout=120,
                                env={**os.environ, **ENV}, check=False)
        self.assertNotEqual(result.returncode, EXIT_OK)
        self.assertIn("other data, models or recipes", result.stderr)


if __name__ == "__main__":
    harness.unittest.main()
