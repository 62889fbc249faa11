"""Calls Segue as programs do that know nothing of it: with Triton's own clients, by REST and by gRPC.

Arguments: address, mode, a picture's file, a folder for the masks.
"""

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

address, mode, picture, folder = sys.argv[1:5]
encoded = np.array([Path(picture).read_bytes()], dtype=np.object_)
pixels = np.fromfile(Path(folder) / "pixels.rgb", np.uint8).reshape(1, 64, 96, 3)


def masks(module, client):
    """The mask of the picture, by each way that the protocol has."""
    for name, value, datatype in [("encoded", encoded, "BYTES"), ("pixels", pixels, "UINT8")]:
        for binary in [True, False] if module is http else [True]:
            given = module.InferInput("image", list(value.shape), datatype)
            if module is grpc:
                given.set_data_from_numpy(value)
            elif datatype == "BYTES" and not binary:
                continue  # The client can't write bytes that are no text into JSON.
            else:
                given.set_data_from_numpy(value, binary_data=binary)
            options = {"binary_data": binary} if module is http else {}
            wanted = [module.InferRequestedOutput(it, **options) for it in ("mask", "confidence")]
            result = client.infer(mode, [given], outputs=wanted, request_id="7")
            mask, confidence = result.as_numpy("mask"), result.as_numpy("confidence")
            assert mask.dtype == np.uint8 and mask.shape == confidence.shape == (1, 64, 96), mask.shape
            assert confidence.min() >= 1
            alone = client.infer(mode, [given])
            assert (alone.as_numpy("mask") == mask).all() and alone.as_numpy("confidence") is None
            mask[0].tofile(Path(folder) / f"{module.__name__}-{name}-{binary}.mask")


def look_around(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(mode) and client.is_model_ready(mode, "1")
    told = [client.get_server_metadata(), client.get_model_metadata(mode)]
    assert "segue" in str(told[0]) and "binary_tensor_data" in str(told[0]), told
    assert "image" in str(told[1]) and "mask" in str(told[1]), told


def refused(module, client, model, shape, datatype, value, expected):
    given = module.InferInput("image", shape, datatype)
    given.set_data_from_numpy(value)
    try:
        client.infer(model, [given])
    except InferenceServerException as error:
        assert expected in str(error), f"{expected!r} is not in {error}"
    else:
        raise AssertionError(f"{expected!r} was expected")


for module in (http, grpc):
    with module.InferenceServerClient(address) as client:
        look_around(client)
        masks(module, client)
        refused(module, client, "nothing", [1], "BYTES", encoded, "there is no mode")
        garbage = np.array([b"no picture"], dtype=np.object_)
        refused(module, client, mode, [1], "BYTES", garbage, "no JPEG, PNG or WebP")
        refused(module, client, mode, [2], "BYTES", np.array([b"a", b"b"], dtype=np.object_), "one at a time")
        refused(module, client, mode, [2, 2], "UINT8", np.zeros((2, 2), np.uint8), "expected [1, height, width, 3]")
        refused(module, client, mode, [1, 1, 1, 3], "FP32", np.zeros((1, 1, 1, 3), np.float32), "expected UINT8 or BYTES")

with grpc.InferenceServerClient(address) as client:
    answers = []
    client.start_stream(lambda result, error: answers.append((result, error)))
    given = grpc.InferInput("image", list(pixels.shape), "UINT8")
    given.set_data_from_numpy(pixels)
    broken = grpc.InferInput("image", [1], "BYTES")
    broken.set_data_from_numpy(np.array([b"no picture"], dtype=np.object_))
    for number in range(10):
        client.async_stream_infer(mode, [broken if number == 4 else given], request_id=str(number))
    client.stop_stream()
    assert len(answers) == 10, len(answers)
    assert [number for number, (_, error) in enumerate(answers) if error] == [4], answers
    numbers = [result.get_response().id for result, error in answers if not error]
    assert numbers == [str(number) for number in range(10) if number != 4], numbers
    expected = np.fromfile(Path(folder) / "tritonclient.grpc-pixels-True.mask", np.uint8)
    assert all((result.as_numpy("mask").ravel() == expected).all() for result, error in answers if not error)
print("fine")
