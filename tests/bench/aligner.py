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
# Lists: those of the corpus; larger ones as terminologies are (one entity in ten begins with a word that the texts hold); and
# the hard case, where half of them do, so that nearly every word of a text begins some entity.
LISTS = (("corpus", 0, 0.0), ("100,000", 100_000, 0.1), ("1,000,000", 1_000_000, 0.1),
         ("100,000, hard", 100_000, 0.5), ("1,000,000, hard", 1_000_000, 0.5))


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


def enlarge(mentions, sentences, size, shared):
    """The mentions and made-up ones, of one to three words; a share of them begins with a word that the texts hold."""
    rng = random.Random(1)
    vocabulary = sorted({w for s in sentences for w in s.split() if w.isalpha()})
    made = set(mentions)
    while len(made) < size:
        words = ["".join(rng.choices("etaoinshrdlucmfp", k=rng.randint(6, 12))) for _ in range(2)]
        if rng.random() < shared:
            made.add(" ".join([rng.choice(vocabulary), words[0], rng.choice(vocabulary)][: rng.randint(2, 3)]))
        else:
            made.add(" ".join([words[0], rng.choice(vocabulary), words[1]][: rng.choice((1, 1, 2, 3))]))
    return sorted(made)


def is_cased(entity):
    """Where case counts: three characters at most, or capitals and no small letter."""
    return len(entity) <= 3 or (entity.upper() == entity and entity.lower() != entity)


def spans_by_ahocorasick(sentences, mentions):
    """Leftmost-longest, on whole tokens, by the case rule; or None without pyahocorasick.  The texts are tokens joined by
    single spaces, so whole tokens are what spaces enclose."""
    try:
        import ahocorasick
    except ImportError:
        return None
    automaton = ahocorasick.Automaton()
    for mention in mentions:
        automaton.add_word(mention.lower(), (*automaton.get(mention.lower(), ()), mention))
    automaton.make_automaton()
    found = set()
    for number, sentence in enumerate(sentences):
        longest = {}
        for last, entities in automaton.iter(sentence.lower()):
            start, end = last + 1 - len(entities[0]), last + 1
            whole = (start == 0 or sentence[start - 1] == " ") and (end == len(sentence) or sentence[end] == " ")
            if whole and any(not is_cased(e) or sentence[start:end] == e for e in entities):
                longest[start] = max(longest.get(start, 0), end)
        behind = 0
        for start in sorted(longest):
            if start >= behind:
                behind = longest[start]
                found.add((number, start, behind))
    return found


def compare_spans(program, texts, entities, sentences, mentions):
    """Ours against pyahocorasick's, span by span: any difference ends the benchmark."""
    theirs = spans_by_ahocorasick(sentences, mentions)
    if theirs is None:
        return None
    printed = subprocess.run([program, "--spans", texts, entities], check=True, capture_output=True, text=True).stdout
    ours = {tuple(map(int, line.split())) for line in printed.splitlines()}
    if ours != theirs:
        sys.exit(f"aligner.py: {len(ours - theirs)} spans that pyahocorasick does not have, such as {sorted(ours - theirs)[:3]}, "
                 f"and {len(theirs - ours)} missing, such as {sorted(theirs - ours)[:3]}")
    return len(ours)


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
        print(f"left out, not in this python: {', '.join(peers.missing)} (pip install spacy pyahocorasick)")
    best, peer_best = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        texts = os.path.join(scratch, "texts")
        write_lines(texts, sentences)
        for number, (_, size, shared) in enumerate(LISTS):
            write_lines(os.path.join(scratch, f"list{number}"), enlarge(mentions, sentences, size, shared))
        same = compare_spans(program, texts, os.path.join(scratch, "list0"), sentences, mentions)
        for round_number in range(ROUNDS):
            for number, (name, _, _) in enumerate(LISTS):
                command = [program, texts, os.path.join(scratch, f"list{number}"), "1.5"]
                if number == 0:
                    command.append(os.path.join(scratch, f"state{round_number}"))
                result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                if name not in best or result["mb_per_s"] > best[name]["mb_per_s"]:
                    best[name] = result
            for name, value in peers.round().items():
                peer_best[name] = max(peer_best.get(name, (0, 0)), value)
    report(best, peer_best, same)


def report(best, peer_best, same):
    base = best["corpus"]
    load = os.getloadavg()[0]
    print(f"{base['texts']} sentences, {base['bytes'] / 1e6:.2f} MB, {base['tokens']} tokens; MB per CPU second, best of {ROUNDS} rounds; load {load:.1f}\n")
    print(f"{'':44}{'MB/s':>9}{'found':>9}")
    for name, r in best.items():
        memory = f"{r['mb_per_s'] / base['mb_per_s']:.2f}, {r['matcher_bytes'] / 1e6:.0f} MB, built in {r['build_s']:.2f} s"
        title = f"nermill, {r['entities']:,} entities{', hard' if name.endswith('hard') else ''}"
        print(f"{title:44}{r['mb_per_s']:9.2f}{r['matches']:9}   {memory}")
    for name, (speed, found) in peer_best.items():
        print(f"{name:44}{speed:9.2f}{found:9}")
    if same is not None:
        print(f"\nspans of pyahocorasick under the same rules: all {same} the same")
    print(f"\ntext in, samples on disk (fsync every {base['commit_group']}): {base['committed_per_s']:.0f} samples/s\n")
    figures = [("mb_per_s", base["mb_per_s"], "MB/s")]
    for name, suffix in (("1,000,000", "1m_entities"), ("1,000,000, hard", "1m_entities_hard")):
        figures += [(f"mb_per_s_{suffix}", best[name]["mb_per_s"], "MB/s"),
                    (f"ratio_{suffix}", best[name]["mb_per_s"] / base["mb_per_s"], "x"),
                    (f"mb_memory_{suffix}", best[name]["matcher_bytes"] / 1e6, "MB")]
    figures.append(("committed_samples_per_s", base["committed_per_s"], "1/s"))
    for name, metric in (("spaCy tokeniser + PhraseMatcher", "ratio_vs_spacy"),
                         ("pyahocorasick, matching only", "ratio_vs_pyahocorasick")):
        if name in peer_best:
            figures.append((metric, base["mb_per_s"] / peer_best[name][0], "x"))
    for metric, value, unit in figures:
        print(json.dumps({"bench": "aligner", "metric": metric, "value": round(value, 3), "unit": unit}))


main()
