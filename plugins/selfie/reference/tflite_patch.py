"""Reads a selfie segmentation file and replaces MediaPipe's custom operator by a stock one.

`Convolution2DTransposeBias` is a TRANSPOSE_CONV of version 3 (the one with a bias input), its inputs in another
order and its output size given as a constant.
"""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def read(path):
    """The file as an editable object tree."""
    with open(path, "rb") as file:
        return schema.ModelT.InitFromPackedBuf(file.read(), 0)


def code_name(model, operator):
    """An operator's custom name, or its built-in number."""
    code = model.operatorCodes[operator.opcodeIndex]
    return code.customCode or max(code.builtinCode, code.deprecatedBuiltinCode)


def stock(model):
    """The model's bytes with only stock operators."""
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if code_name(model, operator) != b"Convolution2DTransposeBias":
            continue
        image, weights, bias = operator.inputs
        shape = graph.tensors[operator.outputs[0]].shape
        operator.inputs = [constant(model, shape), weights, image, bias]
        operator.customOptions = None
        operator.builtinOptionsType = schema.BuiltinOptions.TransposeConvOptions
        options = schema.TransposeConvOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.SAME, 2, 2
        operator.builtinOptions = options
        code = model.operatorCodes[operator.opcodeIndex]
        code.customCode, code.version = None, 3
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE_CONV
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def constant(model, values):
    """Adds a constant vector of integers; returns its tensor number."""
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(np.asarray(values, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.shape, tensor.type = [len(values)], schema.TensorType.INT32
    tensor.buffer, tensor.name = len(model.buffers) - 1, b"output_shape"
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1
