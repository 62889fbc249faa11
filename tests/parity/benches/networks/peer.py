"""The other side of the bench: runs a graph in one engine when told to.

    peer.py (ort | openvino) GRAPH INPUT.f32 THREADS (f32 | bf16)
    peer.py (torch | torch-compiled) ARCHITECTURE INPUT.f32 THREADS (f32 | bf16 | f16) (cpu | cuda) BATCH HEIGHT WIDTH

The input is 1 x 3 x height x width; PyTorch gets it BATCH times, and copies it to its device in each pass. It says its
name and version in a line, then reads lines from standard input: `check FILE` writes the output's f32 to FILE; a number
runs so many forward passes. Either is answered with one line, for a number the milliseconds of each pass.
"""

import sys
import time

import numpy as np


def ort(graph, threads, precision):
    import onnxruntime

    if precision != "f32":
        sys.exit("ONNX Runtime's CPU kernels compute in f32")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    return f"onnxruntime {onnxruntime.__version__}", source.shape, lambda image: session.run(None, {source.name: image})[0]


def openvino(graph, threads, precision):
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    request = compiled.create_infer_request()
    told = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if told != precision:
        sys.exit(f"OpenVINO computes in {told} in place of {precision} here")

    def run(image):
        request.infer([openvino.Tensor(image, shared_memory=True)])
        return request.get_output_tensor(0).data

    version = openvino.__version__.split("-")[0]
    return f"openvino {version}", list(compiled.inputs[0].shape), run


def torch(architecture, threads, precision, device, batch, height, width, is_compiled):
    import export
    import torch

    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[precision]
    torch.set_num_threads(threads)
    network = export.graph_of(architecture, False).eval().to(device, dtype)
    if is_compiled:
        network = torch.compile(network)

    def run(image):
        images = torch.from_numpy(image).expand(batch, -1, -1, -1)
        with torch.inference_mode():
            scores = network(images.to(device).to(dtype))
            if device == "cuda":
                torch.cuda.synchronize()
        return scores[:1].float().cpu().numpy()

    name = f"torch {torch.__version__.split('+')[0]}, {'compiled' if is_compiled else 'eager'}, batch {batch}"
    return name, [1, 3, height, width], run


def main():
    engine, graph, source, threads, precision, *card = sys.argv[1:]
    if engine.startswith("torch"):
        device, *numbers = card
        is_compiled = engine == "torch-compiled"
        name, shape, run = torch(graph, int(threads), precision, device, *map(int, numbers), is_compiled)
    else:
        name, shape, run = {"ort": ort, "openvino": openvino}[engine](graph, int(threads), precision)
    image = np.fromfile(source, np.float32).reshape(shape)
    print(name, flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "check":
            np.ascontiguousarray(run(image), np.float32).tofile(rest[0])
            print("written", flush=True)
            continue
        times = []
        for _ in range(int(command)):
            began = time.perf_counter()
            run(image)
            times.append((time.perf_counter() - began) * 1000)
        print(*(f"{ms:.5f}" for ms in times), flush=True)


if __name__ == "__main__":
    main()
