"""Builds an ONNX graph from a selfie segmentation .tflite file, operator by operator.

    to_onnx.py NETWORK.tflite GRAPH.onnx

Images are NCHW throughout, input included, so that ONNX Runtime gets them in the layout it likes best.
"""

import sys

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

import tflite_patch

B = schema.BuiltinOperator
FUSED = {0: None, 1: "Relu"}


class Converter:
    """One graph's conversion."""

    def __init__(self, model):
        self.model, self.graph = model, model.subgraphs[0]
        self.nodes, self.constants, self.origin = [], {}, {}

    def convert(self):
        for operator in self.graph.operators:
            self.operator(operator)
        image = self.graph.inputs[0]
        source = helper.make_tensor_value_info(self.name(image), TensorProto.FLOAT, self.nchw(image))
        plane = self.graph.outputs[0]
        result = helper.make_tensor_value_info(self.name(plane), TensorProto.FLOAT, self.nchw(plane))
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "selfie", [source], [result], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(model)
        return model

    def name(self, tensor):
        return f"t{tensor}"

    def nchw(self, tensor):
        n, h, w, c = self.graph.tensors[tensor].shape
        return [int(n), int(c), int(h), int(w)]

    def values(self, tensor):
        """A constant's values, through the DEQUANTIZE that may stand before it."""
        tensor = self.graph.tensors[self.origin.get(tensor, tensor)]
        kind = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.type]
        data = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8).tobytes()
        values = np.frombuffer(data, kind).reshape(tensor.shape)
        return values if kind == np.int32 else values.astype(np.float32)

    def constant(self, name, value):
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def node(self, kind, inputs, output, activation=None, **attributes):
        result = f"{output}_linear" if activation else output
        self.nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        if activation:
            self.nodes.append(helper.make_node(activation, [result], [output]))

    def operator(self, operator):
        code, output = tflite_patch.code_name(self.model, operator), operator.outputs[0]
        inputs, options, result = operator.inputs, operator.builtinOptions, self.name(output)
        plain = {B.HARD_SWISH: "HardSwish", B.RELU: "Relu", B.LOGISTIC: "Sigmoid"}
        if code == B.DEQUANTIZE:
            self.origin[output] = inputs[0]
        elif code in plain:
            self.node(plain[code], [self.name(inputs[0])], result)
        elif code in (B.AVERAGE_POOL_2D, B.MEAN):
            self.node("GlobalAveragePool", [self.name(inputs[0])], result)
        elif code in (B.ADD, B.MUL):
            kind = "Add" if code == B.ADD else "Mul"
            self.node(kind, [self.name(i) for i in inputs], result, FUSED[options.fusedActivationFunction])
        elif code == B.RESIZE_BILINEAR:
            sizes = self.constant(f"{result}_sizes", np.asarray(self.nchw(output), np.int64))
            mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
            assert options.halfPixelCenters and not options.alignCorners
            self.node("Resize", [self.name(inputs[0]), "", "", sizes], result, **mode)
        elif code == B.CONV_2D:
            self.conv(operator, self.values(inputs[1]).transpose(0, 3, 1, 2), 1)
        elif code == B.DEPTHWISE_CONV_2D:
            weights = self.values(inputs[1]).transpose(3, 0, 1, 2)
            self.conv(operator, weights, weights.shape[0])
        elif code == b"Convolution2DTransposeBias":
            weights = self.constant(f"{result}_weights", self.values(inputs[1]).transpose(3, 0, 1, 2))
            bias = self.constant(f"{result}_bias", self.values(inputs[2]))
            self.node("ConvTranspose", [self.name(inputs[0]), weights, bias], result, strides=[2, 2])
        else:
            raise ValueError(f"operator {code} is not known")

    def conv(self, operator, weights, groups):
        image, _, bias = operator.inputs
        options, result = operator.builtinOptions, self.name(operator.outputs[0])
        strides, kernel = [options.strideH, options.strideW], weights.shape[2:]
        totals = [0, 0]
        if options.padding == schema.Padding.SAME:
            sizes = zip(self.nchw(image)[2:], self.nchw(operator.outputs[0])[2:], strides, kernel)
            totals = [max((after - 1) * stride + taps - before, 0) for before, after, stride, taps in sizes]
        pads = [total // 2 for total in totals] + [total - total // 2 for total in totals]
        names = [self.constant(f"{result}_weights", weights), self.constant(f"{result}_bias", self.values(bias))]
        attributes = {"group": groups, "strides": strides, "pads": pads, "kernel_shape": list(kernel)}
        self.node("Conv", [self.name(image), *names], result, FUSED[options.fusedActivationFunction], **attributes)


def convert(path):
    """The ONNX model of the network at `path`."""
    return Converter(tflite_patch.read(path)).convert()


if __name__ == "__main__":
    onnx.save(convert(sys.argv[1]), sys.argv[2])
