"""The other side of `cargo bench`: runs a network in ONNX Runtime when told to.

    ort_peer.py NETWORK.tflite WIDTH HEIGHT INPUT.f32 THREADS

Reads lines from standard input. `check FILE` writes the output plane's f32 to FILE; a number runs so many forward
passes; either is answered with one line, for a number the milliseconds of each pass.
"""

import sys
import time

import numpy as np
import onnxruntime

import to_onnx


def main():
    network, width, height, source, threads = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    model = to_onnx.convert(network).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.fromfile(source, np.float32).reshape(1, int(height), int(width), 3)
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(image.transpose(0, 3, 1, 2))}
    print(f"onnxruntime {onnxruntime.__version__}", flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "check":
            session.run(None, feed)[0].astype(np.float32).tofile(rest[0])
            print("written", flush=True)
            continue
        times = []
        for _ in range(int(command)):
            began = time.perf_counter()
            session.run(None, feed)
            times.append((time.perf_counter() - began) * 1000)
        print(*(f"{ms:.5f}" for ms in times), flush=True)


if __name__ == "__main__":
    main()
