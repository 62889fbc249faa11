#!/usr/bin/env python3
"""Writes cases/*.json and cases/*.png: what PyTorch's own networks compute for the parameters of formula.py.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_reference.py --all

Each network is built at its real width, filled from the published names in keys/, loaded by transformers' own renaming
where it has one, and run in f32 on the CPU. A second pass in f64 says how much of each tensor is rounding. README.md
describes the files.
"""

import argparse
import json
import pathlib
import platform
import re
import sys
import time

import numpy as np
import torch
import torchvision
import transformers
from PIL import Image

import architectures
import formula

HERE = pathlib.Path(__file__).parent
SAMPLES = 300
STEP = 2654435761
NEAR = 1e-4


def cases():
    """Name: (architecture, input height and width, target height and width)."""
    table = {}

    def add(architecture, size, target=None):
        table[f"{architecture}-{size[0]}x{size[1]}"] = (architecture, size, target or size)

    for architecture in ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50"):
        add(architecture, (129, 161))
    add("deeplabv3_mobilenet_v3_large", (98, 130))
    for stride in (8, 16):
        for size in ((129, 129), (97, 130), (96, 128)):
            add(f"deeplabv3_mobilenet_v2_os{stride}", size)
    for size in architectures.SEGFORMER:
        add(f"segformer-{size}", (128, 160))
    add("segformer-b0", (97, 130))
    for size in architectures.SWIN:
        add(f"mask2former-swin-{size}", (128, 160))
    add("mask2former-swin-tiny", (107, 150), (120, 200))
    add("mask2former-swin-tiny", (131, 93), (120, 84))
    return table


def read_keys(architecture):
    """(name, type, shape) of each line."""
    for line in (HERE / "keys" / f"{architectures.key_list(architecture)}.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, kind, shape = line.split()
            yield name, kind, () if shape == "-" else tuple(int(size) for size in shape.split("x"))


def build(architecture):
    """The network in f32, every floating-point parameter of the key list filled."""
    gain = formula.network_gain(architecture)
    filled = {
        name: torch.from_numpy(formula.parameter(name, shape, gain)) for name, kind, shape in read_keys(architecture) if kind == "f32"
    }
    kind, config = architectures.describe(architecture)
    if config is None:
        missing, unexpected = kind.load_state_dict(filled, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        network = kind
    else:
        network, report = kind.from_pretrained(
            None, config=config, state_dict=filled, output_loading_info=True, attn_implementation="eager", dtype=torch.float32
        )
        # transformers 5 gained a layer norm behind the last stage, which no output passes.
        unread = "encoder.swin.layernorm."
        missing = [name for name in report["missing_keys"] if unread not in name and not name.endswith("num_batches_tracked")]
        unexpected = report["unexpected_keys"]
        assert not report["mismatched_keys"], report["mismatched_keys"]
    assert not missing and not unexpected, (missing, unexpected)
    return network.eval()


def resize(tensor, size):
    return torch.nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)


def run(architecture, network, pixels, target):
    """Named tensors, the last of them the scores at the target size; and what the decoder's masks looked like."""
    if architecture.startswith("mask2former"):
        return run_mask2former(network, pixels, target)
    if isinstance(network, transformers.PreTrainedModel):
        logits = network(pixel_values=pixels).logits
        return {"logits": logits, "scores": resize(logits, target)}, None
    kept = []
    hook = network.classifier.register_forward_hook(lambda module, given, made: kept.append(made))
    upsampled = network(pixels)["out"]
    hook.remove()
    return {"logits": kept[0], "scores": upsampled}, None


def run_mask2former(network, pixels, target):
    masks = []

    def watch(module, given, made):
        size = given[2]
        closed = made[1][: made[1].shape[0] // module.num_heads]
        masks.append((size, closed, torch.nn.functional.interpolate(made[0], size=size, mode="bilinear", align_corners=False)))

    hook = network.model.transformer_module.decoder.mask_predictor.register_forward_hook(watch)
    outputs = network(pixel_values=pixels)
    hook.remove()
    processor = transformers.Mask2FormerImageProcessorPil()
    answer = processor.post_process_semantic_segmentation(outputs, target_sizes=[target], return_segmentation_scores=True)[0]
    tensors = {
        "class_queries_logits": outputs.class_queries_logits,
        "masks_queries_logits": outputs.masks_queries_logits,
        "scores": answer.segmentation_scores[None],
    }
    return tensors, masks[:-1]


def number(value):
    """The shortest decimal that reads back as this f32."""
    return float(str(np.float32(value)))


def summary(tensor, exact):
    values = tensor.numpy().ravel()
    index = np.arange(SAMPLES, dtype=np.int64) * STEP % values.size
    wide = values.astype(np.float64)
    return {
        "shape": list(tensor.shape),
        "mean": wide.mean(),
        "std": wide.std(),
        "min": number(values.min()),
        "max": number(values.max()),
        "max_abs": number(np.abs(values).max()),
        "f32_error": number(np.abs(exact.numpy().ravel() - wide).max()),
        "samples": [number(values[i]) for i in index],
    }


def label_map(scores, exact):
    """Labels of the first and only image, and how sure they are."""
    best = scores[0].topk(2, dim=0)
    margin = best.values[0] - best.values[1]
    labels = scores[0].argmax(0)
    report = {
        "near": NEAR,
        "near_ties": int((margin < NEAR * scores.abs().max()).sum()),
        "f64_differs": int((labels != exact[0].argmax(0)).sum()),
        "histogram": {str(k): int(n) for k, n in zip(*(v.tolist() for v in labels.unique(return_counts=True)))},
    }
    return labels.numpy().astype(np.uint8), report


def attention(masks, exact):
    """Each decoder layer's mask before fully closed rows are opened."""
    layers = []
    for (size, closed, logits), (_, exactly, _) in zip(masks, exact):
        layers.append({
            "size": list(size),
            "closed": float(closed.float().mean()),
            "rows_all_closed": int(closed.all(-1).sum()),
            "rows_all_open": int((~closed).all(-1).sum()),
            "rows": closed.shape[0] * closed.shape[1],
            "std": float(logits.std()),
            "within_1e-5": int((logits.abs() < 1e-5).sum()),
            "within_1e-4": int((logits.abs() < 1e-4).sum()),
            "f64_differs": int((closed != exactly).sum()),
        })
    return layers


def tidy(text):
    """Lists of numbers on lines of their own instead of a line a number."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: "[" + ", ".join(match[0][1:-1].replace(",", " ").split()) + "]", text)


def make(name, folder):
    architecture, size, target = cases()[name]
    started = time.time()
    network = build(architecture)
    pixels = torch.from_numpy(formula.pixels(*size))
    filled = time.time()
    tensors, masks = run(architecture, network, pixels, target)
    ran = time.time()
    exact, exact_masks = run(architecture, network.double(), pixels.double(), target)
    labels, report = label_map(tensors["scores"], exact["scores"])
    case = {
        "case": name,
        "architecture": architecture,
        "keys": f"{architectures.key_list(architecture)}.txt",
        "gain": formula.network_gain(architecture),
        "input": list(size),
        "target": list(target),
        "made_by": {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0],
                    "transformers": transformers.__version__, "python": platform.python_version()},
        "tensors": {key: summary(tensor, exact[key]) for key, tensor in tensors.items()},
        "labels": {"png": f"{name}.png", **report},
    }
    if masks:
        case["attention"] = attention(masks, exact_masks)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(tidy(json.dumps(case, indent=1)) + "\n")
    Image.fromarray(labels).save(folder / f"{name}.png", optimize=True)
    print(f"{name}: filled in {filled - started:.1f} s, ran in {ran - filled:.1f} s")
    for key, told in case["tensors"].items():
        print(f"  {key} {told['shape']} std {told['std']:.3g} max_abs {told['max_abs']:.3g} f32_error {told['f32_error']:.2g}")
    counts = sorted(report["histogram"].values(), reverse=True)
    print(f"  {len(counts)} classes, largest {counts[0] / labels.size:.0%}, near ties {report['near_ties']}, f64 differs {report['f64_differs']}")
    for layer in case.get("attention", []):
        print("  mask", layer)
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--all", action="store_true", help="make every case")
    chosen.add_argument("--case", action="append", metavar="NAME", help="make one case, by its name or the start of it; may be repeated")
    chosen.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "cases", metavar="DIR", help="where to write (cases/)")
    options = parser.parse_args()
    if options.list:
        print("\n".join(cases()))
        return
    names = [name for name in cases() if options.all or any(name.startswith(start) for start in options.case)]
    if not names:
        parser.error(f"no case starts so; --list names the {len(cases())} there are")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with torch.no_grad():
        for name in names:
            make(name, options.out)


if __name__ == "__main__":
    main()
