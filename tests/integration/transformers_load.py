#!/usr/bin/env python3
"""A model that nermill saved, loaded by transformers: the same tags, and the same probabilities to 1e-4.

usage: transformers_load.py NERMILL_TRAINER MODEL_DIR FILE.conll [LIMIT]
Needs: torch transformers.  Exit code 0: equal; 1: not.
"""
import subprocess
import sys
import tempfile

import torch
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


def ask_transformers(model_dir, sentences):
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForTokenClassification.from_pretrained(model_dir).eval()
    names = model.config.id2label
    for words in sentences:
        e = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            probabilities = model(**e).logits[0].softmax(-1)
        first = {}
        for i, word in enumerate(e.word_ids()):
            if word is not None:
                first.setdefault(word, i)
        yield [(names[int(probabilities[first[w]].argmax())], float(probabilities[first[w]].max())) for w in range(len(words))]


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
    print(f"{len(sentences)} sentences, {words} words: the same tags, probabilities within {worst:.1e}")


if __name__ == "__main__":
    main()
