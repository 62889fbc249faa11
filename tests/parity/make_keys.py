#!/usr/bin/env python3
"""Writes keys/*.txt: every parameter and buffer, in the order of the state dict, `name dtype shape`.

    python -m venv venv4 && venv4/bin/pip install -r requirements-keys.txt && venv4/bin/python make_keys.py
    venv/bin/python make_keys.py --renamed

The first command writes the names of the published files (transformers 4), the second, with transformers 5, the
names that a file saved by transformers 5 could carry (`<name>.renamed.txt`, only where they differ).
"""

import argparse
import pathlib

import transformers

import architectures

KEYS = pathlib.Path(__file__).parent / "keys"
RENAMED = [a for a in architectures.ARCHITECTURES if a.startswith("segformer") or a == "mask2former-swin-tiny"]
BEYOND = {
    "criterion.": "# The next line belongs to the training loss; it is in the published file and no forward pass reads it.",
    "relative_position_index": "# The lines ending in relative_position_index are integer buffers in the published file; recompute them from the window size.",
}


def line(name, tensor):
    shape = "x".join(str(size) for size in tensor.shape) or "-"
    return f"{name} {str(tensor.dtype).removeprefix('torch.').replace('float', 'f').replace('int', 'i')} {shape}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renamed", action="store_true", help="write the names of transformers 5")
    options = parser.parse_args()
    newest = int(transformers.__version__.split(".")[0])
    if newest != (5 if options.renamed else 4):
        parser.error(f"transformers {transformers.__version__} is installed: --renamed needs 5, without it 4 is needed")
    KEYS.mkdir(exist_ok=True)
    for architecture in RENAMED if options.renamed else architectures.ARCHITECTURES:
        lines, said = [], set()
        for name, tensor in architectures.empty(architecture).state_dict().items():
            for part, comment in BEYOND.items():
                if part in name and part not in said:
                    lines.append(comment)
                    said.add(part)
            lines.append(line(name, tensor))
        path = KEYS / f"{architectures.key_list(architecture)}{'.renamed' if options.renamed else ''}.txt"
        path.write_text("\n".join(lines) + "\n")
        print(f"{path.name}: {len(lines)} lines")


if __name__ == "__main__":
    main()
