"""A tiny BERT directory made with the standard library alone: real files for the real program, in milliseconds."""

import json
import pathlib
import random
import struct

WORDS = "the zinc iron fever cough saw of no red green a b c ##a ##b ##c . , - ( )".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS


def shapes(hidden, inner, layers, positions):
    yield "embeddings.word_embeddings.weight", [len(VOCABULARY), hidden]
    yield "embeddings.position_embeddings.weight", [positions, hidden]
    yield "embeddings.token_type_embeddings.weight", [2, hidden]
    yield "embeddings.LayerNorm.weight", [hidden]
    yield "embeddings.LayerNorm.bias", [hidden]
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name, rows, cols in [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ]:
            yield f"{at}{name}.weight", [rows, cols]
            yield f"{at}{name}.bias", [rows]
        for name in ["attention.output.LayerNorm", "output.LayerNorm"]:
            yield f"{at}{name}.weight", [hidden]
            yield f"{at}{name}.bias", [hidden]


def write(directory, hidden=16, inner=32, layers=2, heads=2, positions=64, seed=1):
    """config.json, model.safetensors, vocab.txt; returns the directory."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    rng, header, data = random.Random(seed), {"__metadata__": {"format": "pt"}}, b""
    for name, shape in shapes(hidden, inner, layers, positions):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        norm = "LayerNorm.weight" in name
        values = [1.0 if norm else rng.gauss(0, 0.2) if len(shape) == 2 else 0.0 for _ in range(count)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *values)
    text = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (directory / "config.json").write_text(json.dumps({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": positions,
        "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0}), encoding="utf-8")
    return directory


def corpus(sentences, seed=2):
    """CoNLL: zinc and iron are metals, fever and cough are ills."""
    rng, lines = random.Random(seed), []
    kinds = {"zinc": "Metal", "iron": "Metal", "fever": "Ill", "cough": "Ill"}
    for _ in range(sentences):
        words = [rng.choice(["the", "saw", "of", "no", "red", "zinc", "iron", "fever", "cough"]) for _ in range(9)]
        lines += [f"{word}\tB-{kinds[word]}" if word in kinds else f"{word}\tO" for word in words]
        lines += [".\tO", ""]
    return "\n".join(lines)
