#!/usr/bin/env python3
"""Make tests/golden/data: what PyTorch says about a tiny BERT, for test_bert.c to be held against.

usage: make_goldens.py [OUT_DIR]      (default: data/ beside this script)
Needs: torch transformers safetensors numpy.  Made with the versions written into goldens.json.

A random BertForTokenClassification of two layers, its weights in float32, is run by transformers in float64, so
that every difference that the test sees is ours.  Norms and biases are moved away from 1 and 0, where their
gradients would be hard to tell from a mistake.  Written:
  model/config.json, model/model.safetensors    the model
  goldens.json                                  batches, losses, optimizer settings, losses of the ten steps
  logits.safetensors                            logits of the first batch, real tokens only, in order
  grads.safetensors                             every gradient of the first batch's loss, unclipped
  steps_all.safetensors, steps_usual.safetensors  the weights after ten steps of AdamW, weight decay on every
                                                tensor (as AdamW(model.parameters()) does), and on all but biases
                                                and LayerNorm
"""
import copy
import json
import pathlib
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file
from transformers import BertConfig, BertForTokenClassification, get_linear_schedule_with_warmup

LABELS = ["O", "B-Chemical", "I-Chemical", "B-Disease", "I-Disease"]
LENGTHS = [[7, 3, 19, 1, 12, 5], [4, 33, 2], [16, 9, 9, 11]]
STEPS = dict(lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-4, weight_decay=0.05, clip_norm=3.0, warmup=3, total=12, n=10)
# eps is 1e-4: a key's bias has no influence on the softmax, so its gradient is rounding noise, which AdamW with a
# tiny eps blows up to steps of full size, in PyTorch as much as here.


def make_model():
    torch.manual_seed(7)
    config = BertConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=48, max_position_embeddings=40, type_vocab_size=2,
                        id2label=dict(enumerate(LABELS)), label2id={l: i for i, l in enumerate(LABELS)},
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "LayerNorm.weight" in name:
                p.copy_(1 + 0.3 * torch.randn_like(p))
            elif name.endswith("bias"):
                p.copy_(0.2 * torch.randn_like(p))
            else:
                p.copy_(0.25 * torch.randn_like(p))
    return model


def make_batch(rng, lengths):
    # id 0 is [PAD], whose embedding PyTorch gives no gradient
    ids = [rng.integers(1, 200, n).tolist() for n in lengths]
    labels = [[int(y) if rng.random() > 0.3 else -1 for y in rng.integers(0, len(LABELS), n)] for n in lengths]
    return dict(ids=ids, labels=labels)


def padded(batch):
    n = max(map(len, batch["ids"]))
    pad = lambda rows, fill: torch.tensor([r + [fill] * (n - len(r)) for r in rows])
    labels = pad(batch["labels"], -100)
    return dict(input_ids=pad(batch["ids"], 0), labels=torch.where(labels < 0, -100, labels),
                attention_mask=pad([[1] * len(r) for r in batch["ids"]], 0))


def weights_of(model):
    return {k: v.detach().numpy().astype(numpy.float32) for k, v in model.named_parameters()}


def run_steps(model, batches, decay_all):
    plain = lambda name: not decay_all and (name.endswith("bias") or "LayerNorm" in name)
    named = list(model.named_parameters())
    groups = [dict(params=[p for n, p in named if not plain(n)], weight_decay=STEPS["weight_decay"]),
              dict(params=[p for n, p in named if plain(n)], weight_decay=0.0)]
    opt = torch.optim.AdamW([g for g in groups if g["params"]], lr=STEPS["lr"],
                            betas=(STEPS["beta1"], STEPS["beta2"]), eps=STEPS["eps"])
    sched = get_linear_schedule_with_warmup(opt, STEPS["warmup"], STEPS["total"])
    losses, norms = [], []
    for i in range(STEPS["n"]):
        loss = model(**padded(batches[i % len(batches)])).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), STEPS["clip_norm"])))
        opt.step(), sched.step(), opt.zero_grad()
        losses.append(loss.item())
    return losses, norms, weights_of(model)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "data")
    model = make_model()
    model.save_pretrained(out / "model")
    model = model.double().train()
    rng = numpy.random.default_rng(11)
    batches = [make_batch(rng, lengths) for lengths in LENGTHS]
    for batch in batches:
        with torch.no_grad():
            batch["loss"] = model(**padded(batch)).loss.item()
    inputs = padded(batches[0])
    result = model(**inputs)
    result.loss.backward()
    save_file({"logits": result.logits[inputs["attention_mask"] == 1].detach().numpy().astype(numpy.float32)},
              out / "logits.safetensors")
    save_file({k: p.grad.numpy().astype(numpy.float32) for k, p in model.named_parameters()}, out / "grads.safetensors")
    model.zero_grad()
    runs = {}
    for name in ("all", "usual"):
        losses, norms, weights = run_steps(copy.deepcopy(model), batches, name == "all")
        save_file(weights, out / f"steps_{name}.safetensors")
        runs[name] = dict(losses=losses, norms=norms)
    acted = [n > STEPS["clip_norm"] for n in runs["all"]["norms"]]
    assert any(acted) and not all(acted), "clipping should act in some steps and not in others"
    made_with = {m.__name__: m.__version__ for m in (torch, transformers, numpy)}
    text = json.dumps(dict(made_with=made_with, batches=batches, steps=STEPS, runs=runs), indent=1)
    (out / "goldens.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
