"""Runs bench_aligner and its peers on the same texts and lists, in turn; called by aligner.sh.

usage: aligner.py BENCH_ALIGNER DATA_DIR
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time

# Speeds are per second of CPU time, ours and the peers': all are single-threaded, and a busy machine does not count.
ROUNDS = 3  # product and peers take turns, so that a busy minute hits all; the best round of each counts
SIZES = (0, 100_000, 1_000_000)  # entities; 0: those of the corpus


def read_corpus(paths):
    """Sentences as text, and the set of mentions, of two-column BIO files."""
    sentences, mentions, words, mention = [], set(), [], []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in [*file, "\n"]:
                word, _, tag = line.rstrip("\n").partition("\t")
                if mention and not tag.startswith("I"):
                    mentions.add(" ".join(mention))
                    mention = []
                if word:
                    words.append(word)
                    if tag != "O":
                        mention.append(word)
                elif words:
                    sentences.append(" ".join(words))
                    words = []
    return sentences, sorted(mentions)


def enlarge(mentions, sentences, size):
    """The mentions and made-up ones: half of one new word, the rest begin with a word that the texts hold."""
    rng = random.Random(1)
    vocabulary = sorted({w for s in sentences for w in s.split() if w.isalpha()})
    made = set(mentions)
    while len(made) < size:
        word = "".join(rng.choices("etaoinshrdlucmfp", k=rng.randint(6, 12)))
        if rng.random() < 0.5:
            made.add(word)
        else:
            made.add(" ".join([rng.choice(vocabulary), word, rng.choice(vocabulary)][: rng.randint(2, 3)]))
    return sorted(made)


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


class Peers:
    """spaCy and pyahocorasick, where this python has them."""

    def __init__(self, sentences, mentions):
        self.sentences, self.jobs, self.missing = sentences, {}, []
        self.megabytes = sum(len(s.encode()) for s in sentences) / 1e6
        try:
            import spacy
            from spacy.matcher import PhraseMatcher

            nlp = spacy.blank("en")
            matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
            matcher.add("E", list(nlp.pipe(mentions)))
            self.jobs["spaCy tokeniser + PhraseMatcher"] = lambda: sum(
                len(spacy.util.filter_spans(matcher(doc, as_spans=True))) for doc in nlp.pipe(sentences)
            )
        except ImportError:
            self.missing.append("spacy")
        try:
            import ahocorasick

            automaton = ahocorasick.Automaton()
            for mention in mentions:
                automaton.add_word(mention.lower(), mention)
            automaton.make_automaton()
            lower = [s.lower() for s in sentences]
            self.jobs["pyahocorasick, matching only"] = lambda: sum(1 for s in lower for _ in automaton.iter_long(s))
        except ImportError:
            self.missing.append("pyahocorasick")

    def round(self):
        """{name: (MB/s, found)}"""
        out = {}
        for name, job in self.jobs.items():
            start = time.process_time()
            found = job()
            out[name] = (self.megabytes / (time.process_time() - start), found)
        return out


def main():
    program, data = sys.argv[1:]
    paths = [os.path.join(data, "bc5cdr", name) for name in ("train.tsv", "devel.tsv", "test.tsv")]
    for path in paths:
        if not os.path.exists(path):
            sys.exit(f"aligner.py: {path} is missing: NERMILL_DATA must hold bc5cdr/")
    sentences, mentions = read_corpus(paths)
    peers = Peers(sentences, mentions)
    if peers.missing:
        print(f"left out, not in this python: {', '.join(peers.missing)} (see tests/bench/setup.sh)")
    best, peer_best = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        texts = os.path.join(scratch, "texts")
        write_lines(texts, sentences)
        for size in SIZES:
            write_lines(os.path.join(scratch, f"entities{size}"), enlarge(mentions, sentences, size))
        for number in range(ROUNDS):
            for size in SIZES:
                command = [program, texts, os.path.join(scratch, f"entities{size}"), "1.5"]
                if size == 0:
                    command.append(os.path.join(scratch, f"state{number}"))
                result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                if size not in best or result["mb_per_s"] > best[size]["mb_per_s"]:
                    best[size] = result
            for name, value in peers.round().items():
                peer_best[name] = max(peer_best.get(name, (0, 0)), value)
    report(best, peer_best)


def report(best, peer_best):
    base, largest = best[0], best[SIZES[-1]]
    print(f"{base['texts']} sentences, {base['bytes'] / 1e6:.2f} MB, {base['tokens']} tokens; MB per CPU second, best of {ROUNDS} rounds\n")
    print(f"{'':44}{'MB/s':>9}{'found':>9}")
    for size in SIZES:
        r = best[size]
        memory = f"{r['matcher_bytes'] / 1e6:.0f} MB, built in {r['build_s']:.2f} s"
        print(f"{'nermill, ' + format(r['entities'], ',') + ' entities':44}{r['mb_per_s']:9.2f}{r['matches']:9}   {memory}")
    for name, (speed, found) in peer_best.items():
        print(f"{name:44}{speed:9.2f}{found:9}")
    print(f"\ntext in, samples on disk (fsync every {base['commit_group']}): {base['committed_per_s']:.0f} samples/s\n")
    figures = [
        ("mb_per_s", base["mb_per_s"], "MB/s"),
        ("mb_per_s_1m_entities", largest["mb_per_s"], "MB/s"),
        ("ratio_1m_entities", largest["mb_per_s"] / base["mb_per_s"], "x"),
        ("mb_memory_1m_entities", largest["matcher_bytes"] / 1e6, "MB"),
        ("committed_samples_per_s", base["committed_per_s"], "1/s"),
    ]
    for name, metric in (("spaCy tokeniser + PhraseMatcher", "ratio_vs_spacy"),
                         ("pyahocorasick, matching only", "ratio_vs_pyahocorasick")):
        if name in peer_best:
            figures.append((metric, base["mb_per_s"] / peer_best[name][0], "x"))
    for metric, value, unit in figures:
        print(json.dumps({"bench": "aligner", "metric": metric, "value": round(value, 3), "unit": unit}))


main()
