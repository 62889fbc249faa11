"""Writes reference.json: what a real TFLite runtime computes, for the Rust tests to compare with.

    python -m venv venv && venv/bin/pip install ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6
    venv/bin/python make_reference.py --models DIR --media DIR

`--models` holds the two .tflite files, `--media` the folder that contains `webcam/`. Frames are decoded by ffmpeg
(5.1 wrote the committed file) and only named here: by clip, index and the SHA-256 of their RGB bytes.
All arithmetic on inputs is in integers, so that another language makes the same bytes.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import tflite_patch

HERE = pathlib.Path(__file__).parent
FILES = ["selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"]
FRAMES = [("webcam/help.mkv", 30), ("webcam/eat.mkv", 40), ("webcam/walk.mkv", 60)]
FRAME_SIZE = (640, 480)
GRID = 24
SOFT = 48


def gradient(x, y, width, height):
    """Red from left to right, green from top to bottom, blue along the diagonal."""
    return [x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2)]


def noise(x, y, _width, _height):
    """An integer hash of the position and the channel."""
    channels = []
    for channel in range(3):
        value = (x * 374761393 + y * 668265263 + channel * 2246822519) & 0xFFFFFFFF
        value = ((value ^ (value >> 13)) * 1274126177) & 0xFFFFFFFF
        channels.append((value >> 16) & 255)
    return channels


def figure(x, y, width, height):
    """A head and shoulders of two ellipses before a gradient; coordinates in thousandths."""
    u, v = x * 1000 // width, y * 1000 // height
    head = (u - 500) ** 2 * 4 + (v - 380) ** 2 * 2 < 110000
    body = (u - 500) ** 2 + (v - 1000) ** 2 < 130000
    back = [90 + u // 20, 110 + v // 25, 140]
    colours = [np.where(head, skin, np.where(body, shirt, wall)) for skin, shirt, wall in zip([205, 160, 135], [40, 45, 80], back)]
    return colours


def synthetic(formula, width, height):
    """The formula's bytes, height x width x 3."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    return np.stack([np.broadcast_to(c, x.shape) for c in formula(x, y, width, height)], -1).astype(np.uint8)


def decode(path, index):
    """Frame `index` of a clip, as RGB bytes."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", f"select=eq(n\\,{index})", "-frames:v", "1"]
    command += ["-sws_flags", "bitexact+accurate_rnd", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(pixels, np.uint8).reshape(FRAME_SIZE[1], FRAME_SIZE[0], 3)


def nearest(frame, width, height):
    """The frame stretched by nearest neighbours: source = output * source size // output size."""
    rows = np.arange(height) * frame.shape[0] // height
    columns = np.arange(width) * frame.shape[1] // width
    return frame[rows][:, columns]


def inputs(media, width, height):
    """Each input's description and bytes."""
    for formula in (gradient, noise, figure):
        yield {"formula": formula.__name__}, synthetic(formula, width, height)
    for clip, index in FRAMES:
        frame = decode(media / clip, index)
        digest = hashlib.sha256(frame.tobytes()).hexdigest()
        yield {"clip": clip, "frame": index, "sha256": digest}, nearest(frame, width, height)


def soft_pixels(plane):
    """Places and values of undecided pixels, evenly spread over all such: they show errors that 0 and 1 hide."""
    places = np.flatnonzero((plane > 0.02) & (plane < 0.98))
    places = places[:: max(1, len(places) // SOFT)][:SOFT]
    return [[int(place), round(float(plane[place]), 6)] for place in places]


def references(path, media):
    """One record for each input to the network at `path`."""
    content = tflite_patch.stock(tflite_patch.read(path))
    # With XNNPACK, the default and what MediaPipe runs: on the flat areas of `figure`, where rounding errors all
    # point one way, it is within 2e-5 of the same graph in f64; the kernels without it are off by 4e-4.
    runtime = Interpreter(model_content=content, num_threads=1)
    runtime.allocate_tensors()
    source, result = runtime.get_input_details()[0], runtime.get_output_details()[0]
    _, height, width, _ = source["shape"]
    for description, pixels in inputs(media, int(width), int(height)):
        runtime.set_tensor(source["index"], (pixels.astype(np.float32) / np.float32(255))[None])
        runtime.invoke()
        plane = runtime.get_tensor(result["index"])[0, :, :, 0]
        statistics = {"mean": plane.mean(), "min": plane.min(), "max": plane.max(), "person": (plane >= 0.5).mean()}
        grid = [round(float(value), 6) for value in plane[::GRID, ::GRID].ravel()]
        soft = soft_pixels(plane.ravel())
        yield description | {key: round(float(value), 6) for key, value in statistics.items()} | {"grid": grid, "soft": soft}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--media", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    record = {"grid_step": GRID, "networks": {}}
    for name in FILES:
        record["networks"][name] = list(references(arguments.models / name, arguments.media))
    text = json.dumps(record, separators=(",", ":")).replace('{"formula', '\n{"formula').replace('{"clip', '\n{"clip')
    (HERE / "reference.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
