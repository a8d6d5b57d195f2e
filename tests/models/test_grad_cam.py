"""Grad-CAM is its formula, finds where a network looked, and works on one network of every kind."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from fine_tuner.base.errors import InputError
from fine_tuner.models.grad_cam import find_layer, grad_cam


class Brightest(nn.Module):
    """Two maps, the red and the blue of the picture; output ``k`` is the mean of map ``k``."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[..., None, None]
        self.relu = nn.ReLU(inplace=True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.relu(self.maps(pixels)).mean((2, 3))


def test_it_looks_where_the_class_is() -> None:
    pixels = torch.zeros(1, 3, 8, 8)
    pixels[0, 0, 1, 2], pixels[0, 2, 6, 5] = 1, 1
    for output, place in ((0, (1, 2)), (1, (6, 5))):
        heat = grad_cam(Brightest().eval(), pixels, output)
        assert heat[place] == heat.max() == 1
        assert heat.sum() == 1


def test_it_equals_the_class_activation_map_where_that_is_defined() -> None:
    torch.manual_seed(0)
    model = models.resnet18(num_classes=5).eval()
    pixels = torch.randn(1, 3, 64, 64)
    kept: list[torch.Tensor] = []
    model.layer4.register_forward_hook(lambda module, given, out: kept.append(out.detach()))
    heat = grad_cam(model, pixels, 3)
    cam = (model.fc.weight[3][:, None, None] * kept[-1][0]).sum(0).relu()  # Zhou et al. 2016; equal but for a factor
    cam = nn.functional.interpolate(cam[None, None], (64, 64), mode="bilinear")[0, 0].detach()
    torch.testing.assert_close(heat, cam / cam.max(), rtol=1e-4, atol=1e-5)


KINDS = ("squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "vit_b_32", "swin_t")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_has_a_map(name: str) -> None:
    torch.manual_seed(0)
    size = 224 if name.startswith("vit") else 64
    model = models.get_model(name, num_classes=3).eval()
    if name.startswith("vit"):
        nn.init.normal_(model.heads.head.weight)  # torchvision begins with zeros, which speak for nothing
    heat = grad_cam(model, torch.randn(1, 3, size, size), 1)
    assert heat.shape == (size, size)
    assert heat.isfinite().all()
    assert 0 <= heat.min() < heat.max() <= 1


def test_a_network_without_a_map_says_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    assert find_layer(model, torch.zeros(1, 3, 2, 2)) is None
    with pytest.raises(InputError, match="has no map of the picture"):
        grad_cam(model, torch.zeros(1, 3, 2, 2), 0)
