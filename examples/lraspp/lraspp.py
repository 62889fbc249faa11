"""LR-ASPP with MobileNetV3, by torchvision: a model in Python for Segue."""

import numpy as np
import torch
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import segue_model


class LrAspp:
    """LR-ASPP MobileNetV3 Large, 21 classes of PASCAL VOC"""

    def load(self) -> None:
        checkpoint = segue_model.folder / segue_model.settings["checkpoint"]
        self.network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
        self.network.load_state_dict(torch.load(checkpoint, weights_only=True))
        self.mean = torch.tensor([123.7, 116.3, 103.5])
        self.deviation = torch.tensor([58.4, 57.1, 57.4])

    @torch.inference_mode()
    def segment(self, frame: np.ndarray) -> np.ndarray:
        pixels = (torch.from_numpy(frame) - self.mean) / self.deviation
        return self.network(pixels.permute(2, 0, 1)[None])["out"][0].numpy()
