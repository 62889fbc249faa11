"""Writes tflite/small.tflite: a network with each kind of operator that the selfie plugin reads, in 2 KB.

pip install flatbuffers tflite numpy
"""

import pathlib

import flatbuffers
import numpy
import tflite

BUILDER = flatbuffers.Builder(4096)
OPERATORS = tflite.BuiltinOperator


def table(name, **fields):
    """A table of the schema; of vectors the fields are tuples (kind, values)."""
    offsets = {}
    for field, value in fields.items():
        offsets[field] = vector(*value) if isinstance(value, tuple) else value
    getattr(tflite, f"{name}Start")(BUILDER)
    for field, value in offsets.items():
        getattr(tflite, f"{name}Add{field}")(BUILDER, value)
    return getattr(tflite, f"{name}End")(BUILDER)


def vector(kind, values):
    if kind == "bytes":
        return BUILDER.CreateByteVector(values)
    BUILDER.StartVector(4, len(values), 4)
    for value in reversed(values):
        (BUILDER.PrependUOffsetTRelative if kind == "offsets" else BUILDER.PrependInt32)(value)
    return BUILDER.EndVector()


class Network:
    def __init__(self):
        self.buffers, self.tensors, self.operators, self.codes = [table("Buffer")], [], [], []

    def tensor(self, shape, data=None, kind=tflite.TensorType.FLOAT32):
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(table("Buffer", Data=("bytes", data.tobytes())))
        self.tensors.append(table("Tensor", Shape=("ints", shape), Type=kind, Buffer=buffer))
        return len(self.tensors) - 1

    def constant(self, *shape):
        return self.tensor(shape, (numpy.arange(numpy.prod(shape)) % 5 / 8 - 0.25).astype("<f4"))

    def operator(self, code, inputs, output, options=None, **fields):
        if code not in self.codes:
            self.codes.append(code)
        more = {}
        if options:
            more = {"BuiltinOptionsType": getattr(tflite.BuiltinOptions, options), "BuiltinOptions": table(options, **fields)}
        operator = table(
            "Operator", OpcodeIndex=self.codes.index(code), Inputs=("ints", inputs), Outputs=("ints", [output]), **more
        )
        self.operators.append(operator)
        return output

    def write(self, inputs, outputs):
        codes = [table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=1) for code in self.codes]
        graph = table(
            "SubGraph",
            Tensors=("offsets", self.tensors),
            Inputs=("ints", inputs),
            Outputs=("ints", outputs),
            Operators=("offsets", self.operators),
        )
        model = table(
            "Model",
            Version=3,
            OperatorCodes=("offsets", codes),
            Subgraphs=("offsets", [graph]),
            Buffers=("offsets", self.buffers),
        )
        BUILDER.Finish(model, b"TFL3")
        return bytes(BUILDER.Output())


def main():
    net = Network()
    image = lambda side, channels: net.tensor([1, side, side, channels])
    same, relu = tflite.Padding.SAME, tflite.ActivationFunctionType.RELU
    x = image(8, 3)
    start = x
    halves = net.tensor([4, 3, 3, 3], (numpy.arange(108) % 7 / 8 - 0.25).astype("<f2"), tflite.TensorType.FLOAT16)
    filters = net.operator(OPERATORS.DEQUANTIZE, [halves], net.tensor([4, 3, 3, 3]))
    by_two = {"Padding": same, "StrideW": 2, "StrideH": 2, "FusedActivationFunction": relu}
    x = net.operator(OPERATORS.CONV_2D, [x, filters, net.constant(4)], image(4, 4), "Conv2DOptions", **by_two)
    x = net.operator(OPERATORS.HARD_SWISH, [x], image(4, 4))
    depthwise = {"Padding": same, "StrideW": 1, "StrideH": 1, "DepthMultiplier": 1}
    y = net.operator(
        OPERATORS.DEPTHWISE_CONV_2D,
        [x, net.constant(1, 3, 3, 4), net.constant(4)],
        image(4, 4),
        "DepthwiseConv2DOptions",
        **depthwise,
    )
    pool = {"Padding": tflite.Padding.VALID, "StrideW": 4, "StrideH": 4, "FilterWidth": 4, "FilterHeight": 4}
    gate = net.operator(OPERATORS.AVERAGE_POOL_2D, [y], image(1, 4), "Pool2DOptions", **pool)
    gate = net.operator(OPERATORS.LOGISTIC, [gate], image(1, 4))
    y = net.operator(OPERATORS.MUL, [y, gate], image(4, 4), "MulOptions", FusedActivationFunction=0)
    x = net.operator(OPERATORS.ADD, [x, y], image(4, 4), "AddOptions", FusedActivationFunction=relu)
    size = net.tensor([2], numpy.array([4, 4], "<i4"), tflite.TensorType.INT32)
    x = net.operator(OPERATORS.RESIZE_BILINEAR, [x, size], image(4, 4), "ResizeBilinearOptions", HalfPixelCenters=True)
    one = {"Padding": same, "StrideW": 1, "StrideH": 1}
    x = net.operator(OPERATORS.CONV_2D, [x, net.constant(1, 1, 1, 4), net.constant(1)], image(4, 1), "Conv2DOptions", **one)
    size = net.tensor([2], numpy.array([8, 8], "<i4"), tflite.TensorType.INT32)
    x = net.operator(OPERATORS.RESIZE_BILINEAR, [x, size], image(8, 1), "ResizeBilinearOptions", HalfPixelCenters=True)
    x = net.operator(OPERATORS.LOGISTIC, [x], image(8, 1))
    pathlib.Path(__file__).with_name("tflite").joinpath("small.tflite").write_bytes(net.write([start], [x]))


main()
