#!/usr/bin/env python3
"""The peer of train.sh: fine-tune and test a BERT tagger with transformers + PyTorch, by nermill's recipe.

usage: transformers_train.py --model DIR --train FILE --gold FILE [--mode default|grouped] [--bf16]
       [--epochs 3] [--batch 32] [--lr 5e-4] [--warmup 0.1] [--seed 13] [--threads 2] [--max-length 256]
       [--limit N] [--max-steps N] [--untimed N] [--shape base]

--mode default   what the transformers examples do: random batches padded to their longest sentence, AdamW
--mode grouped   its best on a CPU: batches of similar length in random order, fused AdamW
--bf16           forward and loss under bf16 autocast
--untimed N      the clock starts after so many steps: what is made once (a kernel for each new shape) is left out
--shape base     time a BERT-base with random weights on random batches of 32 x 36 tokens, for --max-steps steps; model
                 and data are not read

The last line is one JSON object: real (unpadded) tokens/s of training and tagging, strict entity scores, and
the mean loss of each epoch.  Needs: torch transformers, and seqeval unless --max-steps.
"""
import argparse
import json
import random
import sys
import time

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertConfig, get_linear_schedule_with_warmup

IGNORED = -100


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--gold", required=True)
    p.add_argument("--mode", choices=["default", "grouped"], default="default")
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--warmup", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=13)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--limit", type=int, help="train on the first N sentences only")
    p.add_argument("--max-steps", type=int, help="stop training after N steps (for timing)")
    p.add_argument("--untimed", type=int, default=0)
    p.add_argument("--shape", choices=["base"])
    return p.parse_args()


def read_conll(path):
    """Sentences as (words, tags): the first column, the last column, a blank line between sentences."""
    sentences, words, tags = [], [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            columns = line.split()
            if columns:
                words.append(columns[0])
                tags.append(columns[-1])
            elif words:
                sentences.append((words, tags))
                words, tags = [], []
    if words:
        sentences.append((words, tags))
    return sentences


def encode(tokenizer, sentences, label_ids, max_length):
    """(ids, labels) a sentence; the label stands on the first sub-token of its word."""
    encoded = []
    for words, tags in sentences:
        e = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
        labels, last = [], None
        for word in e.word_ids():
            labels.append(IGNORED if word is None or word == last else label_ids[tags[word]])
            last = word
        encoded.append((e["input_ids"], labels))
    return encoded


def collate(items):
    width = max(len(ids) for ids, _ in items)
    rows = [[ids + [0] * (width - len(ids)) for ids, _ in items],
            [labels + [IGNORED] * (width - len(ids)) for ids, labels in items],
            [[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in items]]
    return dict(zip(["input_ids", "labels", "attention_mask"], map(torch.tensor, rows)))


def make_batches(items, size, grouped):
    items = random.sample(items, len(items))
    if not grouped:
        return [items[i:i + size] for i in range(0, len(items), size)]
    window = 50 * size
    batches = []
    for start in range(0, len(items), window):
        chunk = sorted(items[start:start + window], key=lambda item: len(item[0]))
        batches += [chunk[i:i + size] for i in range(0, len(chunk), size)]
    random.shuffle(batches)
    return batches


def train_shape(args):
    """One step before the clock starts: what is made once, is made then."""
    model = AutoModelForTokenClassification.from_config(BertConfig(num_labels=5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=True)
    model.train()
    for step in range(args.max_steps + 1):
        if step == 1:
            start, cpu = time.perf_counter(), time.process_time()
        batch = {"input_ids": torch.randint(0, 30522, (32, 36)), "labels": torch.randint(0, 5, (32, 36))}
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - start
    return {"train_tokens_per_s": args.max_steps * 32 * 36 / seconds, "train_seconds": seconds,
            "train_cpu_seconds": time.process_time() - cpu}


def train(model, items, args):
    grouped = args.mode == "grouped"
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=grouped)
    steps = args.epochs * -(-len(items) // args.batch)
    schedule = get_linear_schedule_with_warmup(optimizer, int(args.warmup * steps), steps)
    model.train()
    done, real, losses, start, cpu = 0, 0, [], time.perf_counter(), time.process_time()
    for epoch in range(args.epochs):
        sums = []
        for items_of_batch in make_batches(items, args.batch, grouped):
            batch = collate(items_of_batch)
            real += int(batch["attention_mask"].sum())
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            sums.append(loss.item())
            done += 1
            if done == args.untimed:
                real, start, cpu = 0, time.perf_counter(), time.process_time()
            if done % 20 == 0:
                rate = real / (time.perf_counter() - start)
                print(f"step {done}/{steps} loss {sum(sums[-20:]) / 20:.4f} {rate:.0f} tokens/s", file=sys.stderr)
            if args.max_steps and done >= args.max_steps + args.untimed:
                break
        losses.append(sum(sums) / max(1, len(sums)))
        if args.max_steps and done >= args.max_steps + args.untimed:
            break
    seconds = time.perf_counter() - start
    return {"train_tokens_per_s": real / seconds, "train_seconds": seconds,
            "train_cpu_seconds": time.process_time() - cpu, "steps": done, "losses": losses}


def tag(model, items, labels, args):
    from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

    model.eval()
    gold, predicted, tokens, start = [], [], 0, time.perf_counter()
    items = sorted(items, key=lambda item: len(item[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        for i in range(0, len(items), 32):
            part = items[i:i + 32]
            best = model(**collate(part)).logits.argmax(-1).tolist()
            for (ids, wanted), row in zip(part, best):
                tokens += len(ids)
                pairs = [(p, w) for p, w in zip(row, wanted) if w != IGNORED]
                predicted.append([labels[p] for p, _ in pairs])
                gold.append([labels[w] for _, w in pairs])
    seconds = time.perf_counter() - start
    print(classification_report(gold, predicted, digits=4), file=sys.stderr)
    return {"tag_tokens_per_s": tokens / seconds, "precision": float(precision_score(gold, predicted)),
            "recall": float(recall_score(gold, predicted)), "f1": float(f1_score(gold, predicted))}


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    if args.shape:
        print(json.dumps(train_shape(args)))
        return
    sentences, test = read_conll(args.train)[:args.limit], read_conll(args.gold)
    types = sorted({t[2:] for _, tags in sentences for t in tags if t != "O"})
    labels = ["O"] + [f"{prefix}-{t}" for t in types for prefix in "BI"]
    label_ids = {label: i for i, label in enumerate(labels)}
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForTokenClassification.from_pretrained(args.model, num_labels=len(labels))
    result = {"peer": "transformers", "mode": args.mode, "bf16": args.bf16, "seed": args.seed}
    result.update(train(model, encode(tokenizer, sentences, label_ids, args.max_length), args))
    if not args.max_steps:
        result.update(tag(model, encode(tokenizer, test, label_ids, args.max_length), labels, args))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
