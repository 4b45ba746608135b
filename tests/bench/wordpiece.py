"""usage: wordpiece.py BENCH_WORDPIECE MODEL_DIR DATA_DIR   (wordpiece.sh calls it; needs tokenizers)

Sentences of BC5CDR and TDMSci, one a line, through both, one thread each, in turns; ids must be equal.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, __version__

FILES = ["bc5cdr/train.tsv", "bc5cdr/devel.tsv", "bc5cdr/test.tsv", "tdmsci/train_1500_v2.conll", "tdmsci/test_500_v2.conll"]
ROUNDS = 3


def sentences(root):
    for name in FILES:
        for block in (root / name).read_text(encoding="utf-8").split("\n\n"):
            words = [line.split()[0] for line in block.split("\n") if line.strip()]
            if words:
                yield " ".join(words)


def fnv64(ids):
    h = 14695981039346656037
    for byte in struct.pack(f"<{len(ids)}H", *ids):
        h = (h ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def peer(tokenizer, lines):
    start, ids = time.perf_counter(), []
    for line in lines:
        ids += tokenizer.encode(line, add_special_tokens=False).ids
    return time.perf_counter() - start, ids


def main():
    program, model, data = sys.argv[1:4]
    lines = list(sentences(pathlib.Path(data)))
    size = sum(len(line.encode()) + 1 for line in lines) / 1e6
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ours, theirs = 0.0, 0.0
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
        file.flush()
        for _ in range(ROUNDS):
            seconds, ids = peer(tokenizer, lines)
            theirs = max(theirs, size / seconds)
            out = subprocess.run([program, model, file.name, "5"], check=True, capture_output=True, text=True).stdout
            result = json.loads(out)
            ours = max(ours, result["mb_per_s"])
            if result["ids_hash"] != fnv64(ids):
                sys.exit("wordpiece.py: the ids differ")
    print(f"{len(lines)} sentences, {size:.2f} MB, {len(ids)} ids, equal in both; one thread, best of {ROUNDS} rounds\n")
    print(f"{'nermill':32} {ours:8.1f} MB/s\n{'HF tokenizers ' + __version__:32} {theirs:8.2f} MB/s   nermill is {ours / theirs:.1f} x")
    print(json.dumps({"bench": "wordpiece", "metric": "ratio_vs_hf_tokenizers", "value": round(ours / theirs, 2), "unit": "x"}))


if __name__ == "__main__":
    main()
