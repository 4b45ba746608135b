#!/usr/bin/env python3
"""A model that nermill saved, loaded by transformers: the same tags, and the same probabilities to 1e-4.  Where a CRF layer
stands beside it, its file is read, too, and transformers' logits are decoded by it here.

usage: transformers_load.py NERMILL_TRAINER MODEL_DIR FILE.conll [LIMIT]
Needs: torch transformers safetensors.  Exit code 0: equal; 1: not.
"""
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification, AutoTokenizer

TOLERANCE = 1e-4


def read_words(path, limit):
    sentences, words = [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.split():
                words.append(line.split()[0])
            elif words:
                sentences.append(words)
                words = []
    return (sentences + [words] if words else sentences)[:limit]


def ask_nermill(program, model, sentences):
    with tempfile.NamedTemporaryFile("w", suffix=".conll", encoding="utf-8") as file:
        file.write("".join("".join(f"{w}\n" for w in words) + "\n" for words in sentences))
        file.flush()
        out = subprocess.run([program, "predict", "--model", model, "--format", "conll", "--scores", file.name],
                             check=True, capture_output=True, encoding="utf-8").stdout
    return [[line.split("\t")[1:] for line in block.split("\n") if line] for block in out.split("\n\n") if block.strip()]


class Crf:
    """By pytorch-crf's names; what BIO rules out is not in the file."""

    def __init__(self, path, names):
        layer = {name: tensor.double() for name, tensor in load_file(path).items()}
        labels = [names[i] for i in range(len(names))]
        never = float("-inf")
        for i, now in enumerate(labels):
            if now[0] == "I":
                layer["start_transitions"][i] = never
                for j, before in enumerate(labels):
                    if before[0] == "O" or before[1:] != now[1:]:
                        layer["transitions"][j, i] = never
        self.start, self.pairs, self.end = (layer[n] for n in ("start_transitions", "transitions", "end_transitions"))

    def ways(self, emissions, total):
        score = self.start + emissions[0]
        for row in emissions[1:]:
            score = total(score[:, None] + self.pairs, 0) + row
        return total(score + self.end, 0)

    def decode(self, emissions):
        """Best labels and marginals: how the best score, and the sum, change with an emission."""
        emissions = emissions.double().requires_grad_()
        best, = torch.autograd.grad(self.ways(emissions, lambda x, dim: x.max(dim).values), emissions)
        marginals, = torch.autograd.grad(self.ways(emissions, torch.logsumexp), emissions)
        return best.argmax(-1).tolist(), marginals.nan_to_num()


def ask_transformers(model_dir, sentences):
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForTokenClassification.from_pretrained(model_dir).eval()
    names = model.config.id2label
    layer = os.path.join(model_dir, "crf.safetensors")
    crf = Crf(layer, names) if os.path.exists(layer) else None
    for words in sentences:
        e = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**e).logits[0]
        first = {}
        for i, word in enumerate(e.word_ids()):
            if word is not None:
                first.setdefault(word, i)
        rows = logits[[first[w] for w in range(len(words))]]
        best, probabilities = crf.decode(rows) if crf else (rows.argmax(-1).tolist(), rows.softmax(-1))
        yield [(names[label], float(probabilities[w, label])) for w, label in enumerate(best)]


def repaired(tags):
    """As nermill writes them: an I- that nothing of its type stands before is a B-."""
    before = "O"
    for tag in tags:
        if tag.startswith("I-") and before[2:] != tag[2:]:
            tag = "B-" + tag[2:]
        yield tag
        before = tag


def main():
    program, model_dir, path = sys.argv[1:4]
    sentences = read_words(path, int(sys.argv[4]) if len(sys.argv) > 4 else None)
    ours, worst, words = ask_nermill(program, model_dir, sentences), 0.0, 0
    assert len(ours) == len(sentences), (len(ours), len(sentences))
    for mine, theirs in zip(ours, ask_transformers(model_dir, sentences)):
        assert len(mine) == len(theirs)
        for (tag, score), their_tag, (_, probability) in zip(mine, repaired([t for t, _ in theirs]), theirs):
            worst = max(worst, abs(float(score) - probability))
            words += 1
            if tag != their_tag and probability > 0.5 + TOLERANCE:
                sys.exit(f"{model_dir}: nermill says {tag} ({score}), transformers {their_tag} ({probability:.6f})")
    if worst > TOLERANCE:
        sys.exit(f"{model_dir}: probabilities differ by up to {worst:.2e}")
    print(f"{'CRF, ' if os.path.exists(os.path.join(model_dir, 'crf.safetensors')) else ''}{len(sentences)} sentences, {words} words: the same tags, probabilities within {worst:.1e}")


if __name__ == "__main__":
    main()
