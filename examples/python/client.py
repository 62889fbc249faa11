#!/usr/bin/env python3
"""Has Segue segment JPEG pictures, and prints what share of each one every class has.

    pip install websockets
    python3 client.py ws://127.0.0.1:8080/ws me.jpg a_folder_of_frames
"""

import json
import struct
import sys
import zlib
from pathlib import Path

from websockets.sync.client import connect


def shares(runs):
    """Share of the picture by class id. Each run is a length as LEB128, and an id."""
    pixels, length, shift, bytes_of_runs = {}, 0, 0, iter(zlib.decompress(runs, wbits=-15))
    for byte in bytes_of_runs:
        length, shift = length | (byte & 127) << shift, shift + 7
        if byte < 128:
            class_id = next(bytes_of_runs)
            pixels[class_id], length, shift = pixels.get(class_id, 0) + length, 0, 0
    return {class_id: count / sum(pixels.values()) for class_id, count in pixels.items()}


url, *places = sys.argv[1:]
pictures = [path for place in map(Path, places) for path in (sorted(place.glob("*.jpg")) or [place])]
with connect(url, subprotocols=["segue.v2"]) as server:
    modes = json.loads(server.recv())["modes"]
    server.send('{"type": "view"}')  # Masks, whatever the server's profile has sessions begin with.
    for frame_id, picture in enumerate(pictures):
        server.send(struct.pack("<BBHI40x", 1, 1, 0, frame_id) + picture.read_bytes())
        while isinstance(answer := server.recv(), str) and (text := json.loads(answer))["type"] != "dropped":
            modes = text.get("modes", modes)
        if isinstance(answer, str):
            sys.exit(f"{picture}: {text['message']}")
        labels = next(mode["labels"] for mode in modes if mode["index"] == answer[3])
        print(picture.name, {labels[class_id]: round(share, 3) for class_id, share in shares(answer[64:]).items()})
