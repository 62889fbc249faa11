"""The networks' configurations, and how to build each one; used with transformers 4 (make_keys.py) and 5 (make_reference.py)."""

import torch
import torchvision
import transformers

SEGFORMER = {  # hidden sizes, depths, decoder width
    "b0": ([32, 64, 160, 256], [2, 2, 2, 2], 256),
    "b1": ([64, 128, 320, 512], [2, 2, 2, 2], 256),
    "b2": ([64, 128, 320, 512], [3, 4, 6, 3], 768),
    "b3": ([64, 128, 320, 512], [3, 4, 18, 3], 768),
    "b4": ([64, 128, 320, 512], [3, 8, 27, 3], 768),
    "b5": ([64, 128, 320, 512], [3, 6, 40, 3], 768),
}
SWIN = {  # width, depths, heads, window, image size of the pretraining
    "tiny": (96, [2, 2, 6, 2], [3, 6, 12, 24], 7, 224),
    "small": (96, [2, 2, 18, 2], [3, 6, 12, 24], 7, 224),
    "base": (128, [2, 2, 18, 2], [4, 8, 16, 32], 12, 384),
    "large": (192, [2, 2, 18, 2], [6, 12, 24, 48], 12, 384),
}


def torchvision_deeplab(name):
    build = getattr(torchvision.models.segmentation, name)
    return build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True), None


def mobilenet_v2(output_stride):
    config = transformers.MobileNetV2Config(
        num_labels=21, image_size=513, depth_multiplier=1.0, depth_divisible_by=8, min_depth=8, expand_ratio=6.0,
        output_stride=output_stride, first_layer_is_expansion=True, finegrained_output=True, hidden_act="relu6",
        tf_padding=True, classifier_dropout_prob=0.8, layer_norm_eps=0.001, semantic_loss_ignore_index=255,
    )
    return transformers.MobileNetV2ForSemanticSegmentation, config


def segformer(size):
    hidden, depths, decoder = SEGFORMER[size]
    config = transformers.SegformerConfig(
        num_labels=150, hidden_sizes=hidden, depths=depths, decoder_hidden_size=decoder, num_attention_heads=[1, 2, 5, 8],
        sr_ratios=[8, 4, 2, 1], patch_sizes=[7, 3, 3, 3], strides=[4, 2, 2, 2], mlp_ratios=[4, 4, 4, 4],
        hidden_act="gelu", reshape_last_stage=True,
    )
    return transformers.SegformerForSemanticSegmentation, config


def mask2former(size):
    width, depths, heads, window, image = SWIN[size]
    backbone = transformers.SwinConfig(
        image_size=image, patch_size=4, embed_dim=width, depths=depths, num_heads=heads, window_size=window, mlp_ratio=4.0,
        qkv_bias=True, hidden_act="gelu", use_absolute_embeddings=False, layer_norm_eps=1e-5,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, num_labels=150, num_queries=100, feature_size=256, mask_feature_size=256, hidden_dim=256,
        encoder_layers=6, encoder_feedforward_dim=1024, decoder_layers=10, dim_feedforward=2048, num_attention_heads=8,
        pre_norm=False, enforce_input_projection=False, common_stride=4, feature_strides=[4, 8, 16, 32],
        activation_function="relu",
    )
    return transformers.Mask2FormerForUniversalSegmentation, config


def describe(architecture):
    """(class, configuration) of a transformers network, (module, None) of a torchvision one."""
    if architecture.startswith("deeplabv3_mobilenet_v2"):
        return mobilenet_v2(int(architecture.rsplit("_os", 1)[1]))
    if architecture.startswith("deeplabv3"):
        return torchvision_deeplab(architecture)
    family, size = architecture.rsplit("-", 1)
    return {"segformer": segformer, "mask2former-swin": mask2former}[family](size)


def empty(architecture):
    """The module with whatever values its constructor leaves."""
    kind, config = describe(architecture)
    with torch.no_grad():
        return kind if config is None else kind(config)


ARCHITECTURES = (
    ["deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_mobilenet_v2_os8", "deeplabv3_mobilenet_v2_os16"]
    + [f"segformer-{size}" for size in SEGFORMER]
    + [f"mask2former-swin-{size}" for size in SWIN]
)


def key_list(architecture):
    """The name of its key list: output stride changes no parameter."""
    return architecture.split("_os")[0]
