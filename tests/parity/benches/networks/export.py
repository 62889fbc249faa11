"""Writes the ONNX graph of a reference network with the formula's weights, for an input of one size.

    export.py ARCHITECTURE HEIGHT WIDTH GRAPH.onnx [--folded]

The graph gives what `Network::scores` gives, 1 x classes x height x width. `--folded` merges the linear layers of
SegFormer's head as our own head does.
"""

import argparse
import os
import pathlib
import sys

sys.setdlopenflags(os.RTLD_LAZY)  # for stand_ins.py
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import onnx  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import interpolate  # noqa: E402

import make_reference  # noqa: E402

OPSET = 17
MASKS = (384, 384)  # the grid on which Mask2Former's image processor reads classes off masks


def resize(image, size):
    return interpolate(image, size=size, mode="bilinear", align_corners=False)


class Logits(nn.Module):
    """What a transformers network calls its logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network(pixel_values=pixels).logits


class TorchVision(nn.Module):
    """A torchvision network up to its classifier."""

    def __init__(self, network):
        super().__init__()
        self.backbone, self.classifier = network.backbone, network.classifier

    def forward(self, pixels):
        return self.classifier(self.backbone(pixels)["out"])


class Mask2Former(nn.Module):
    """The score of each class: what each query's mask says times what its class says."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        outputs = self.network(pixel_values=pixels)
        classes = outputs.class_queries_logits.softmax(-1)[..., :-1]
        masks = resize(outputs.masks_queries_logits, MASKS).sigmoid()
        return (classes.transpose(1, 2) @ masks.flatten(2)).unflatten(2, MASKS)


def pointwise(weight, bias):
    """A convolution of one pixel."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    conv.weight.data = weight.float()[:, :, None, None]
    if bias is not None:
        conv.bias.data = bias.float()
    return conv


class Folded(nn.Module):
    """SegFormer with the linear part of its head merged into one matrix a stage, before the resizes."""

    def __init__(self, network):
        super().__init__()
        head, norm = network.decode_head, network.decode_head.batch_norm
        self.encoder, self.classifier = network.segformer, head.classifier
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        fuse = head.linear_fuse.weight.double()[:, :, 0, 0] * scale[:, None]
        bias = norm.bias.double() - norm.running_mean.double() * scale
        linears = [getattr(stage, "proj", stage) for stage in linear_layers(head)]
        inner = linears[0].weight.shape[0]
        parts = list(reversed(fuse.split(inner, 1)))  # the head joins the last stage first
        for part, linear in zip(parts, linears):
            bias = bias + part @ linear.bias.double()
        weights = [part @ linear.weight.double() for part, linear in zip(parts, linears)]
        self.stages = nn.ModuleList(pointwise(weight, None if at else bias) for at, weight in enumerate(weights))

    def forward(self, pixels):
        features = self.encoder(pixels, output_hidden_states=True, return_dict=True).hidden_states
        image = self.stages[0](features[0])
        for stage, feature in zip(self.stages[1:], features[1:]):
            image = image + resize(stage(feature), image.shape[2:])
        return self.classifier(image.relu())


def linear_layers(head):
    """One a stage, whatever transformers calls them."""
    return head.linear_c if hasattr(head, "linear_c") else head.linear_projections


def graph_of(architecture, folded):
    network = make_reference.build(architecture)
    if folded:
        return Folded(network)
    if architecture.startswith("mask2former"):
        return Mask2Former(network)
    return Logits(network) if isinstance(network, transformers.PreTrainedModel) else TorchVision(network)


def narrowed(tensor):
    """An f64 constant as f32, any other as it is."""
    if tensor.data_type != onnx.TensorProto.DOUBLE:
        return tensor
    return onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype("float32"), tensor.name)


def in_f32(model):
    """The model without f64, which the exporter makes of Mask2Former's `linspace`, and ONNX Runtime can't sample images by."""
    for tensor in model.graph.initializer:
        tensor.CopyFrom(narrowed(tensor))
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        if attribute.name == "to" and attribute.i == onnx.TensorProto.DOUBLE:
            attribute.i = onnx.TensorProto.FLOAT
        if attribute.type == onnx.AttributeProto.TENSOR:
            attribute.t.CopyFrom(narrowed(attribute.t))
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture")
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("graph", type=pathlib.Path)
    parser.add_argument("--folded", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    network = graph_of(options.architecture, options.folded).eval()
    pixels = torch.from_numpy(make_reference.formula.pixels(options.height, options.width))
    made = options.graph.with_suffix(".part")
    with torch.no_grad():
        torch.onnx.export(
            network, (pixels,), str(made), dynamo=False, opset_version=OPSET, input_names=["pixels"], output_names=["scores"]
        )
    onnx.save(in_f32(onnx.load(made)), made)
    made.rename(options.graph)


if __name__ == "__main__":
    main()
