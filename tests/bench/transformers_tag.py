#!/usr/bin/env python3
"""The peer of predict.sh: tag a CoNLL file with transformers + PyTorch, batches of 32 sorted by length.

usage: transformers_tag.py --model DIR --input FILE --output FILE [--threads 2] [--bf16]

Writes a word and its tag a line.  The last line printed is one JSON object: tokens ([CLS] and [SEP] among them), seconds
from the model's first batch to its last tag, and seconds of the whole process's work behind the imports.  Needs: torch
transformers.
"""
import argparse
import json
import time

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from transformers_train import read_conll


def parse_args():
    p = argparse.ArgumentParser()
    for name in ["--model", "--input", "--output"]:
        p.add_argument(name, required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true")
    return p.parse_args()


def pad(rows, width):
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def tag_batch(model, encoded, labels):
    """The label of each word's first sub-token, a list a sentence."""
    width = max(len(e["input_ids"]) for e in encoded)
    best = model(input_ids=pad([e["input_ids"] for e in encoded], width),
                 attention_mask=pad([e["attention_mask"] for e in encoded], width)).logits.argmax(-1).tolist()
    result = []
    for e, row in zip(encoded, best):
        words = e.word_ids()
        result.append([labels[row[i]] for i, word in enumerate(words) if word is not None and word != words[i - 1]])
    return result


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    sentences = [words for words, _ in read_conll(args.input)]
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForTokenClassification.from_pretrained(args.model).eval()
    encoded = [tokenizer(words, is_split_into_words=True, truncation=True, max_length=512) for words in sentences]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    tags = [None] * len(encoded)
    began = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        for at in range(0, len(order), 32):
            numbers = order[at:at + 32]
            for i, row in zip(numbers, tag_batch(model, [encoded[i] for i in numbers], model.config.id2label)):
                tags[i] = row
    seconds = time.perf_counter() - began
    with open(args.output, "w", encoding="utf-8") as out:
        for words, row in zip(sentences, tags):
            out.write("".join(f"{word}\t{tag}\n" for word, tag in zip(words, row)) + "\n")
    print(json.dumps({"tokens": sum(len(e["input_ids"]) for e in encoded), "seconds": seconds,
                      "all_seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
