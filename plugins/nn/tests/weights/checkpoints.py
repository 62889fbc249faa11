#!/usr/bin/env python3
"""Writes the checkpoints that main.rs reads, with real torch, into the folder that is named.

Each is below 4 KB. Values count up from 0, so that a test can tell an element in the wrong place.
"""

import collections
import pathlib
import sys

import torch


def count_up(*shape, dtype=torch.float32):
    size = torch.Size(shape).numel()
    return torch.arange(size, dtype=torch.float32).reshape(shape).to(dtype)


def network():
    """A state dict with what real ones have: strided tensors, a shared storage, a counter, a scalar, a parameter."""
    shared = count_up(6)
    state = collections.OrderedDict()
    state["conv.bias"] = torch.nn.Parameter(count_up(2))
    state["nhwc"] = count_up(2, 3, 2, 2).to(memory_format=torch.channels_last)
    state["transposed"] = count_up(2, 3).t()
    state["tail"] = shared[4:]
    state["odd"] = shared[1::2]
    state["half"] = count_up(3, dtype=torch.float16)
    state["brain"] = count_up(3, dtype=torch.bfloat16)
    state["double"] = count_up(3, dtype=torch.float64)
    state["scalar"] = torch.tensor(7.0)
    state["bn.num_batches_tracked"] = torch.tensor(5)
    state["empty"] = torch.zeros(0, 3)
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


def main():
    folder = pathlib.Path(sys.argv[1])
    small = collections.OrderedDict([("weight", count_up(2, 2))])
    files = {
        "zip.pth": (network(), True),
        "legacy.pth": (network(), False),
        "state_dict.pth": ({"epoch": 3, "best": 0.5, "state_dict": small}, True),
        "model_legacy.pth": ({"lr": 0.1, "model": small, "args": {"name": None}}, False),
        "repeated.pth": ({"weight": torch.ones(1).expand(4, 4)}, True),
        "other.pth": ({"epoch": 3, "net": small}, True),
        "list.pth": ([count_up(2)], False),
    }
    for name, (value, is_zip) in files.items():
        torch.save(value, folder / name, _use_new_zipfile_serialization=is_zip)


main()
