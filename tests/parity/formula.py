"""The values of every parameter and of the input: README.md says the formula in words."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
CHUNK = 1 << 22


def seed(name):
    """FNV-1a, 64 bits, of the UTF-8 name."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def uniform(name, index):
    """u in [-1, 1) at each index (an array of integers from 0), f32."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed(name)) + (index.astype(np.uint64) + np.uint64(1)) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24) * np.float32(2) - np.float32(1)


# Rows that no input multiplies: learned vectors, of variance 1 as training starts them.
VECTORS = ("queries_embedder.weight", "queries_features.weight", "level_embed.weight", "level_embed")
# What the last layers of a Mask2Former take, so that its hundred queries stay apart.
DECODER = "transformer_module.decoder.layers."
QUIET = ("out_proj.weight", "fc2.weight")


def network_gain(architecture):
    """The gain of a network's weights: the plain chains of the MobileNets die with less than 5 and explode with more than 6."""
    return 5.75 if "mobilenet" in architecture else 3.0


def gain(name, network):
    """The gain of one weight."""
    if name == "class_predictor.weight":
        return 60.0
    if DECODER in name and name.endswith(QUIET):
        return 0.03
    return network


def centre_and_spread(name, shape, network):
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        return 0.0, 0.1
    if last == "running_var":
        return 1.0, 0.5
    if len(shape) >= 2:
        if name.endswith(VECTORS):
            return 0.0, np.sqrt(3.0)
        return 0.0, np.sqrt(gain(name, network) / int(np.prod(shape[1:])))
    if last == "weight":
        return 1.0, 0.25
    return 0.0, 0.02 if DECODER in name else 0.1


def parameter(name, shape, network):
    """The parameter's values, row-major, in a network of that gain."""
    centre, spread = (np.float32(value) for value in centre_and_spread(name, shape, network))
    values = np.empty(int(np.prod(shape)), np.float32)
    for start in range(0, values.size, CHUNK):
        index = np.arange(start, min(start + CHUNK, values.size), dtype=np.uint64)
        values[start : start + CHUNK] = centre + spread * uniform(name, index)
    return values.reshape(shape)


def pixels(height, width):
    """The normalised input, 1 x 3 x height x width."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    blocks = uniform("pixels", (c * 1000 + y // 8) * 1000 + x // 8)
    fine = uniform("fine", (c * 1000 + y) * 1000 + x)
    return (np.float32(2) * blocks + np.float32(0.5) * fine)[None]
