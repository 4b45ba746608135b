"""What a tool reads in exports, as one JSON line each, a list of samples: read_back.py TOOL PATH...  Needs the tool."""

import json
import sys


def spacy(path):
    """spaCy's own converter makes a DocBin; tokens, spans, and the tokens without a label come from that."""
    import pathlib

    import spacy
    from spacy.cli.convert import convert
    from spacy.tokens import DocBin

    convert(path, pathlib.Path(path).parent, converter="json", file_type="spacy", silent=True)
    vocab = spacy.blank("en").vocab
    for doc in DocBin().from_disk(pathlib.Path(path).with_suffix(".spacy")).get_docs(vocab):
        yield {"text": doc.text, "tokens": [t.text for t in doc], "missing": [t.i for t in doc if t.ent_iob == 0],
               "spans": [[e.start_char, e.end_char, e.label_] for e in doc.ents]}


def datasets(path):
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(path))
    for split, rows in loaded.items():
        names = rows.features["ner_tags"].feature.names
        for row in rows:
            yield {"split": split, "text": row["text"], "tokens": row["tokens"],
                   "tags": [names[tag] if tag >= 0 else "-" for tag in row["ner_tags"]],
                   "spans": [[e["start"], e["end"], e["type"]] for e in row["entities"]], "document": row["document"]}


def seqeval(path):
    """The entities that seqeval finds in the last column, as (type, first token, last token)."""
    from seqeval.metrics.sequence_labeling import get_entities

    with open(path, encoding="utf-8") as file:
        for block in file.read().rstrip("\n").split("\n\n"):
            tags = [line.rstrip("\n").split("\t" if "\t" in line else " ")[-1] for line in block.split("\n")]
            if not block.startswith("-DOCSTART-"):
                yield {"entities": [list(entity) for entity in get_entities(["O" if tag == "-" else tag for tag in tags])]}


def labelstudio(path):
    """Label Studio's SDK holds each task and prediction against the labelling interface."""
    from label_studio_sdk.label_interface import LabelInterface

    with open(path, encoding="utf-8") as file:
        tasks = json.load(file)
    labels = sorted({region["value"]["labels"][0] for task in tasks for p in task["predictions"] for region in p["result"]})
    config = "".join(f'<Label value="{label}"/>' for label in labels)
    interface = LabelInterface(f'<View><Labels name="label" toName="text">{config}</Labels><Text name="text" value="$text"/></View>')
    wrong = {"model_version": "x", "result": [{"id": "a", "from_name": "label", "to_name": "text", "type": "labels",
                                               "value": {"start": 0, "end": 1, "labels": ["no such label"]}}]}
    assert interface.validate_prediction(wrong, return_errors=True), "the check finds nothing"
    for task in tasks:
        faults = [fault for p in task["predictions"] for fault in interface.validate_prediction(p, return_errors=True)]
        yield {"task": interface.validate_task({"data": task["data"]}), "faults": faults}


def jsonschema(path):
    """Our JSON lines against our schema, by jsonschema itself."""
    import pathlib

    from jsonschema import Draft202012Validator

    schema = json.loads((pathlib.Path(__file__).parents[2] / "schemas" / "sample.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield {"faults": [error.message for error in validator.iter_errors(json.loads(line))]}


for export in sys.argv[2:]:
    print(json.dumps(list(globals()[sys.argv[1]](export))))
