"""Writes small ONNX graphs whose masks are known, and some that are no good, into the folder that is named.

Those that are good find red, green or blue: the channel that is the largest.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FOLDER = Path(sys.argv[1])


def tensor(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)


def write(name, nodes, input_, output, weights=(), extra_inputs=(), domains=("",), **options):
    inputs = [input_, *extra_inputs]
    initializers = [numpy_helper.from_array(value, key) for key, value in dict(weights).items()]
    graph = helper.make_graph(nodes, name, inputs, [output], initializers)
    imports = [helper.make_opsetid(domain, 17 if domain == "" else 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=imports, producer_name="test", ir_version=9)
    save(model, FOLDER / f"{name}.onnx", **options)


def identity(scale=1.0):
    """A 1x1 convolution that hands each channel on."""
    return {"w": (scale * np.eye(3, dtype=np.float32)).reshape(3, 3, 1, 1)}


def conv(*names):
    # Exporters write all of this; rten wants it written.
    return helper.make_node("Conv", names[:2], names[2:], strides=[1, 1], kernel_shape=[1, 1])


F32, I64 = TensorProto.FLOAT, TensorProto.INT64
hand_on = conv("image", "w", "scores")
fixed = tensor("image", F32, [1, 3, 64, 96])
free = tensor("image", F32, ["n", 3, "h", "w"])
scores = tensor("scores", F32, [1, 3, 64, 96])
free_scores = tensor("scores", F32, ["n", 3, "h", "w"])

write("scores", [hand_on], fixed, scores, identity())
write("free", [hand_on], free, free_scores, identity())
write(
    "shares",
    [conv("image", "w", "x"), helper.make_node("Softmax", ["x"], ["scores"], axis=1)],
    fixed,
    scores,
    identity(8.0),
)
write(
    "last",
    [helper.make_node("Identity", ["image"], ["scores"])],
    tensor("image", F32, [1, 64, 96, 3]),
    tensor("scores", F32, [1, 64, 96, 3]),
)
write(
    "labels",
    [helper.make_node("ArgMax", ["image"], ["ids"], axis=1, keepdims=0)],
    fixed,
    tensor("ids", I64, [1, 64, 96]),
)
write(
    "matte",
    [
        conv("image", "w", "x"),
        helper.make_node("Sigmoid", ["x"], ["matte"]),
    ],
    fixed,
    tensor("matte", F32, [1, 1, 64, 96]),
    # Red is foreground, the other two are not.
    {"w": np.array([20, -10, -10], dtype=np.float32).reshape(1, 3, 1, 1)},
)
write(
    "bytes",
    [
        helper.make_node("Cast", ["image"], ["scores"], to=F32),
    ],
    tensor("image", TensorProto.UINT8, [1, 3, 64, 96]),
    scores,
)

write("unknown_operator", [helper.make_node("Sharpen", ["image"], ["scores"], domain="our.lab")], fixed, scores,
      domains=("", "our.lab"))
write(
    "classifier",
    [helper.make_node("GlobalAveragePool", ["image"], ["x"]), helper.make_node("Flatten", ["x"], ["y"])],
    fixed,
    tensor("y", F32, [1, 3]),
)
write(
    "two_inputs",
    [helper.make_node("Add", ["image", "before"], ["scores"])],
    fixed,
    scores,
    extra_inputs=[tensor("before", F32, [1, 3, 64, 96])],
)
write(
    "grey",
    [helper.make_node("Identity", ["image"], ["matte"])],
    tensor("image", F32, [1, 1, 64, 96]),
    tensor("matte", F32, [1, 1, 64, 96]),
)
write("elsewhere", [hand_on], fixed, scores, identity(), save_as_external_data=True, location="weights.bin",
      size_threshold=0, convert_attribute=True)
whole = (FOLDER / "scores.onnx").read_bytes()
(FOLDER / "cut.onnx").write_bytes(whole[: len(whole) // 2])
(FOLDER / "text.onnx").write_text("Not Found: the model has moved\n")
