#!/usr/bin/env python3
"""The small files of torch.save that unit.torch_file reads: run with PyTorch to write tests/golden/data/torch/ again.

new.bin and old.bin hold the same state_dict in the ZIP form and in the one before PyTorch 1.6; evil.bin runs a command when
Python's own pickle reads it; strided.bin holds a tensor that is not row-major.
"""

import collections
import os
import pathlib
import pickle
import zipfile

import torch

OUT = pathlib.Path(__file__).resolve().parent / "data" / "torch"


def state_dict():
    whole = torch.arange(12, dtype=torch.float32)
    state = collections.OrderedDict()
    state["weight"] = torch.nn.Parameter(torch.tensor([[1.0, -2.5, 3e-30], [float("inf"), 0.0, 7.0]]))
    state["half"] = torch.tensor([1.5, -0.25], dtype=torch.float16)
    state["bfloat16"] = torch.tensor([[2.0], [-3.0]], dtype=torch.bfloat16)
    state["counts"] = torch.tensor([1, 2, 3])
    state["scalar"] = torch.tensor(42.0)
    state["none"] = torch.zeros(0, 3)
    state["slice"] = whole[4:10].view(2, 3)  # shares its storage, from an offset
    state["all"] = whole
    state["epoch"] = 3  # no tensor
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/nermill-was-executed",)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(), OUT / "new.bin")
    torch.save(state_dict(), OUT / "old.bin", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.arange(6.0).view(2, 3).t()}, OUT / "strided.bin")
    with zipfile.ZipFile(OUT / "evil.bin", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"weight": Evil()}, protocol=2))
        archive.writestr("evil/data/0", bytes(16))


if __name__ == "__main__":
    main()
