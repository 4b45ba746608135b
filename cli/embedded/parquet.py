"""JSON lines of nermill into a directory that Hugging Face's datasets loads: python -c THIS DIR TITLE SPLIT=FILE...

DIR gets a Parquet file a split and README.md, the dataset card.  Needs pyarrow.  The features are written into
Parquet's metadata as datasets writes them, so that tags and types come back as ClassLabel.  A masked token's tag is
-1, which datasets takes for "no label"; a masked span's type is null.
"""

import json
import os
import pathlib
import shutil
import sys

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    sys.exit(f"nermill export: --format parquet needs the Python package pyarrow, which {sys.executable} does not have: "
             "run deploy/setup-export.sh once, or name a Python that has it by NERMILL_EXPORT_PYTHON")

GROUP = 20000  # samples a row group


def lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def types_of(files):
    return sorted({e["type"] for path in files.values() for s in lines(path) for e in s["entities"] if e["type"]})


def features(labels):
    def value(dtype):
        return {"dtype": dtype, "_type": "Value"}

    def sequence(feature):  # a list of one: what datasets before and since version 4 understands
        return [feature]

    entity = {"start": value("int32"), "end": value("int32"), "type": value("string"), "text": value("string")}
    return {"id": value("string"), "text": value("string"), "tokens": sequence(value("string")),
            "ner_tags": sequence({"names": labels, "_type": "ClassLabel"}), "entities": sequence(entity),
            "document": value("string"), "source": value("string"), "model": value("string")}


def schema(labels):
    entity = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string()), ("text", pa.string())])
    fields = [("id", pa.string()), ("text", pa.string()), ("tokens", pa.list_(pa.string())),
              ("ner_tags", pa.list_(pa.int64())), ("entities", pa.list_(entity)), ("document", pa.string()),
              ("source", pa.string()), ("model", pa.string())]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features(labels)}})})


def row(sample, number):
    keys = ("start", "end", "type", "text")
    return {"id": str(sample["id"]), "text": sample["text"], "tokens": sample["tokens"],
            "ner_tags": [number[tag] for tag in sample["tags"]],
            "entities": [{key: entity[key] for key in keys} for entity in sample["entities"]],
            "document": sample.get("document"), "source": sample.get("source"),
            "model": sample.get("provenance", {}).get("model") or None}


def write_split(path, samples, form, number):
    count, rows = 0, []
    with pq.ParquetWriter(path, form) as writer:
        for sample in samples:
            rows.append(row(sample, number))
            if len(rows) == GROUP:
                writer.write_table(pa.Table.from_pylist(rows, form))
                count, rows = count + len(rows), []
        writer.write_table(pa.Table.from_pylist(rows, form))
    return count + len(rows)


def size_category(n):
    for limit, name in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M")):
        if n < limit:
            return name
    return "n>10M"


def card(title, counts, types):
    files = "".join(f"  - split: {split}\n    path: {split}.parquet\n" for split in counts)
    rows = "".join(f"| {split} | {n:,} |\n" for split, n in counts.items())
    return f"""---
pretty_name: {json.dumps(title, ensure_ascii=False)}
task_categories:
- token-classification
task_ids:
- named-entity-recognition
size_categories:
- {size_category(sum(counts.values()))}
configs:
- config_name: default
  data_files:
{files}---

# {title}

Sentences with named entities, exported by nermill.

```python
from datasets import load_dataset
data = load_dataset("path/to/this/directory")
```

| split | samples |
| --- | --- |
{rows}
Entity types: {", ".join(types) or "none"}.

- `tokens`, `ner_tags`: one tag a token, BIO as a `ClassLabel`; -1 where a token is masked: it may be an entity, so a
  training has to leave it out of its loss (turn -1 into your loss function's `ignore_index`).
- `entities`: spans of `text` in characters, end exclusive; a masked one has no `type`.
- `document`, `source`, `model`: where a sample comes from, as far as it is known.
"""


def main(out, title, files):
    out = pathlib.Path(out)
    work = out.with_name(f"{out.name}.tmp.{os.getpid()}")
    types = types_of(files)
    labels = ["O"] + [f"{prefix}-{name}" for name in types for prefix in "BI"]
    number = {**{label: i for i, label in enumerate(labels)}, "-": -1}
    form = schema(labels)
    work.mkdir(parents=True)
    try:
        counts = {split: write_split(work / f"{split}.parquet", lines(path), form, number) for split, path in files.items()}
        (work / "README.md").write_text(card(title, counts, types), encoding="utf-8")
        work.rename(out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


try:
    main(sys.argv[1], sys.argv[2], dict(argument.split("=", 1) for argument in sys.argv[3:]))
except OSError as error:
    sys.exit(f"nermill export: {error}")
