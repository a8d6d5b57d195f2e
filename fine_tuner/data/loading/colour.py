"""Random brightness, contrast, saturation and hue as one matrix on the colours of a pixel.

torchvision's ColorJitter makes four passes over the picture, the one for hue through HSV; on a CPU that takes longer
than reading the file. All four changes are linear in the colour, so their product is applied in one pass.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Luma of Rec. 601, as in ColorJitter's grey.
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


class ColourChange(nn.Module):
    """Scales brightness, contrast and saturation by factors in ``1 - strength`` to ``1 + strength`` and turns the hue.

    Contrast is scaled about the mean grey of the picture. Hue turns by up to ``strength / 10`` of the circle, in YIQ.

    Source: Haeberli 1993, "Matrix Operations for Image Processing", http://www.graficaobscura.com/matrix. Differs from
    ColorJitter: fixed order, one rounding, and the hue is turned in YIQ rather than in HSV.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` float32 in 0 to 255, to the same."""
        brightness, contrast, saturation, turn = ((2 * torch.rand(4) - 1) * self.strength).tolist()
        matrix = colour_matrix(1 + brightness, 1 + saturation, turn / 10)
        flat = pixels.flatten(1)  # (3, HW)
        grey = (_LUMA @ (matrix @ flat.mean(1))).item()
        offset = torch.full((3, 1), -contrast * grey)
        return torch.addmm(offset, matrix * (1 + contrast), flat).clamp_(0, 255).view_as(pixels)


def colour_matrix(brightness: float, saturation: float, hue_turn: float) -> Tensor:
    """``(3, 3)``: scale all, scale the distance from grey, turn the hue by ``hue_turn`` of the circle."""
    saturate = saturation * torch.eye(3) + (1 - saturation) * _LUMA.expand(3, 3)
    cos, sin = math.cos(2 * math.pi * hue_turn), math.sin(2 * math.pi * hue_turn)
    rotate = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    return brightness * (_FROM_YIQ @ rotate @ _TO_YIQ @ saturate)
