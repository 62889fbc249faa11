#!/usr/bin/env python3
"""Scores the original networks on photos with ground truth, and prints one JSON document.

    venv/bin/python voc_reference.py deeplab.onnx --images voc/images --masks voc/masks --first 60
    venv/bin/python voc_reference.py selfie_segmentation.tflite --images voc/images --masks voc/masks

An `.onnx` file is DeepLabV3 (RGB NCHW, x / 127.5 - 1, class scores at the input's size, VOC's 21 classes). The photo goes
to the input's square by `--fit`: `pad` (no resize, 127 at the bottom and right; a larger photo is scaled down first),
`longest` (longest side scaled to the square, then padded), `stretch` (to the square, aspect ignored).
A `.tflite` file is MediaPipe's selfie network (RGB NHWC, x / 255, stretched to its input, one probability a pixel):
person against the rest, at probability 0.5, upsampled linearly.
Masks are VOC's indexed PNG files, 255 is void and counts nowhere. Labels are compared at the photo's own size. A class's IoU
is over all photos together; the mean is over the classes that the masks hold.
"""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image

CLASSES = 21
PERSON = 15
VOID = 255
PADDING = 127


def scaled(photo, side, fit):
    """The photo as it lies in the square's top left corner."""
    if fit == "stretch":
        return photo.resize((side, side), Image.BILINEAR)
    ratio = side / max(photo.size)
    if fit == "longest" or ratio < 1:
        size = [max(1, min(side, round(length * ratio))) for length in photo.size]
        return photo.resize(size, Image.BILINEAR)
    return photo


def onnx_network(path, fit, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    side = entry.shape[2]

    def labels(photo):
        inside = scaled(photo, side, fit)
        square = np.full((side, side, 3), PADDING, np.float32)
        square[: inside.height, : inside.width] = np.asarray(inside)
        given = (square / np.float32(127.5) - 1).transpose(2, 0, 1)[None]
        scores = session.run(None, {entry.name: given})[0][0, :, : inside.height, : inside.width]
        if inside.size != photo.size:
            scores = np.stack([np.asarray(Image.fromarray(plane).resize(photo.size, Image.BILINEAR)) for plane in scores])
        return scores.argmax(0)

    return labels, CLASSES


def tflite_network(path, fit, threads):
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=str(path), num_threads=threads)
    network.allocate_tensors()
    entry, exit_ = network.get_input_details()[0], network.get_output_details()[0]
    height, width = entry["shape"][1:3]

    def labels(photo):
        stretched = photo.resize((int(width), int(height)), Image.BILINEAR)
        network.set_tensor(entry["index"], (np.asarray(stretched, np.float32) / 255)[None])
        network.invoke()
        plane = network.get_tensor(exit_["index"]).reshape(height, width)
        return (np.asarray(Image.fromarray(plane).resize(photo.size, Image.BILINEAR)) > 0.5).astype(np.int64)

    return labels, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=pathlib.Path, help="an .onnx or a .tflite file")
    parser.add_argument("--images", type=pathlib.Path, required=True, metavar="DIR", help="folder of .jpg photos")
    parser.add_argument("--masks", type=pathlib.Path, required=True, metavar="DIR", help="folder of .png masks of the same names")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N photos by name")
    parser.add_argument("--fit", choices=["pad", "longest", "stretch"], default="longest", help="how a photo gets to the ONNX input (longest)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the runtime (2)")
    options = parser.parse_args()
    build = {".onnx": onnx_network, ".tflite": tflite_network}.get(options.network.suffix)
    if build is None:
        parser.error(f"{options.network}: expected an .onnx or a .tflite file")
    photos = sorted(options.images.glob("*.jpg"))[: options.first]
    if not photos:
        parser.error(f"{options.images}: no .jpg file here")
    labels_of, classes = build(options.network, options.fit, options.threads)
    seen = np.zeros((classes, classes), np.int64)
    for path in photos:
        mask = np.asarray(Image.open(options.masks / f"{path.stem}.png")).astype(np.int64)
        counted = mask != VOID
        truth = mask if classes == CLASSES else (mask == PERSON).astype(np.int64)
        labels = labels_of(Image.open(path).convert("RGB"))
        seen += np.bincount(truth[counted] * classes + labels[counted], minlength=classes**2).reshape(classes, classes)
    present = seen.sum(1) > 0
    union = seen.sum(0) + seen.sum(1) - seen.diagonal()
    iou = seen.diagonal() / np.maximum(union, 1)
    print(json.dumps({
        "network": options.network.name,
        "fit": options.fit if classes == CLASSES else "stretch",
        "photos": len(photos),
        "classes": int(present.sum()),
        "mean_iou": round(float(iou[present].mean()), 4),
        "pixel_accuracy": round(float(seen.trace() / seen.sum()), 4),
        "person_iou": round(float(iou[PERSON if classes == CLASSES else 1]), 4),
        "iou": {str(k): round(float(iou[k]), 4) for k in np.flatnonzero(present)},
    }, indent=1))


if __name__ == "__main__":
    main()
