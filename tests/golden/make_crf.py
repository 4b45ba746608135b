#!/usr/bin/env python3
"""Make tests/golden/data/crf.json: what PyTorch says about linear-chain CRFs, for test_crf.c to be held against.

usage: make_crf.py [OUT.json]      (default: data/crf.json beside this script)
Needs: torch.  Made with the version written into the file.

The textbook's CRF in float64: the forward algorithm, Viterbi, and autograd for the rest, as the derivative of log Z by
an emission is the label's marginal.  Labels that are not known are summed over; what BIO rules out is -inf.  Where there
are few enough sequences, all of them are gone through one by one, and must say the same.
"""
import itertools
import json
import pathlib
import sys

import torch

SHAPES = [(3, 1), (5, 2), (5, 6), (5, 7), (7, 5), (9, 12), (9, 40), (41, 15)]  # labels, words
UNKNOWN = -2


def bio(types):
    return ["O"] + [f"{letter}-T{t}" for t in range(types) for letter in "BI"]


def may_follow(before, now):
    return now[0] != "I" or before is not None and before[0] in "BI" and before[1:] == now[1:]


def constrain(labels, transitions, start):
    never = torch.tensor(float("-inf"), dtype=torch.float64)
    pairs = torch.tensor([[may_follow(a, b) for b in labels] for a in labels])
    first = torch.tensor([may_follow(None, b) for b in labels])
    return torch.where(pairs, transitions, never), torch.where(first, start, never)


def log_sum(x, dim):
    # logsumexp whose gradient is 0, not nan, where all terms are -inf
    top = x.max(dim, keepdim=True).values.clamp(min=-1e300).detach()
    total = (x - top).exp().sum(dim)
    some = total > 0
    return torch.where(some, torch.where(some, total, torch.ones_like(total)).log() + top.squeeze(dim),
                       torch.tensor(float("-inf"), dtype=x.dtype))


def log_z(emissions, transitions, start, end, known):
    def at(i):
        if known is None or known[i] < 0:
            return emissions[i]
        only = torch.arange(emissions.shape[1]) == known[i]
        return torch.where(only, emissions[i], torch.tensor(float("-inf"), dtype=emissions.dtype))
    alpha = start + at(0)
    for i in range(1, len(emissions)):
        alpha = log_sum(alpha[:, None] + transitions, 0) + at(i)
    return log_sum(alpha + end, 0)


def viterbi(emissions, transitions, start, end):
    score, back = start + emissions[0], []
    for i in range(1, len(emissions)):
        best = (score[:, None] + transitions).max(0)
        back.append(best.indices)
        score = best.values + emissions[i]
    path = [int((score + end).argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]


def check_by_enumeration(emissions, transitions, start, end, known, loss, path):
    k, n = emissions.shape[1], len(emissions)
    if k ** n > 100000:
        return
    every, agree, best = [], [], (float("-inf"), None)
    for y in itertools.product(range(k), repeat=n):
        score = start[y[0]] + end[y[-1]] + sum(emissions[i, y[i]] for i in range(n))
        score = float(score + sum(transitions[a, b] for a, b in zip(y, y[1:])))
        every.append(score)
        best = max(best, (score, list(y)))
        if all(want < 0 or want == got for want, got in zip(known, y)):
            agree.append(score)
    sums = [torch.logsumexp(torch.tensor(x, dtype=torch.float64), 0) for x in (every, agree)]
    assert abs(float(sums[0] - sums[1]) - loss) < 1e-9 and best[1] == path


def gold(labels, n, rng):
    known, before = [], None
    for _ in range(n):
        choices = [i for i, label in enumerate(labels) if may_follow(before, label)]
        known.append(choices[int(torch.randint(len(choices), (1,), generator=rng))])
        before = labels[known[-1]]
    return known


def make_case(k, n, share_unknown, rng):
    def draw(*shape):  # as the C code sees it: float32
        return (torch.randn(*shape, generator=rng, dtype=torch.float64) * 1.5).float().double().requires_grad_()
    labels = bio((k - 1) // 2)
    known = [y if float(torch.rand(1, generator=rng)) >= share_unknown else UNKNOWN for y in gold(labels, n, rng)]
    leaves = dict(emissions=draw(n, k), transitions=draw(k, k), start=draw(k), end=draw(k))
    transitions, start = constrain(labels, leaves["transitions"], leaves["start"])
    rest = (transitions, start, leaves["end"])
    all_ways = log_z(leaves["emissions"], *rest, None)
    marginals, = torch.autograd.grad(all_ways, leaves["emissions"], retain_graph=True)
    loss = all_ways - log_z(leaves["emissions"], *rest, known)
    loss.backward()
    with torch.no_grad():
        path = viterbi(leaves["emissions"], *rest)
        check_by_enumeration(leaves["emissions"], *rest, known, loss.item(), path)
    flat = lambda x: x.detach().flatten().tolist()
    return dict(labels=labels, known=known, loss=loss.item(), best=path, marginals=flat(marginals),
                **{name: flat(x) for name, x in leaves.items()},
                gradients={name: flat(torch.zeros_like(x) if x.grad is None else x.grad) for name, x in leaves.items()})


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "data" / "crf.json")
    rng = torch.Generator().manual_seed(3)
    cases = [make_case(k, n, share, rng) for k, n in SHAPES for share in (0, 0.4)]
    rounded = json.loads(json.dumps(dict(made_with=torch.__version__, cases=cases)), parse_float=lambda x: float(f"{float(x):.9g}"))
    out.write_text(json.dumps(rounded) + "\n")


if __name__ == "__main__":
    main()
