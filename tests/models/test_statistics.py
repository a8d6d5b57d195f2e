"""How fast the statistics follow that evaluation uses."""

from __future__ import annotations

import torch
from PIL import Image
from torch import nn

from fine_tuner.config.io import parse
from fine_tuner.models.batch_norm import quicken_statistics
from fine_tuner.tasks.build import assemble, build_data


def test_slow_statistics_follow_as_fast_as_torchs_own_and_others_stay():
    model = nn.Sequential(
        nn.BatchNorm2d(3, momentum=0.01), nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, momentum=None)
    )
    assert "0.1 instead of 0.01" in quicken_statistics(model)
    assert [m.momentum for m in model] == [0.1, 0.3, None]
    assert quicken_statistics(model) is None
    images = torch.ones(2, 3, 4, 4)
    model[0](images)
    assert torch.allclose(model[0].running_mean, torch.full((3,), 0.1))


def test_only_random_weights_get_quick_statistics(tmp_path):
    def momenta(weights):
        chosen = parse(
            {
                "data": {"path": str(root), "num_workers": 0, "image_size": 32},
                "model": {"name": "mobilenet_v3_small", "weights": weights},
            }
        )
        with assemble(chosen, build_data(chosen), outline=True) as assembly:
            return {m.momentum for m in assembly.model.modules() if isinstance(m, nn.BatchNorm2d)}

    root = tmp_path
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), "red" if name[0] == "a" else "blue").save(root / name)
    assert momenta("none") == {0.1}
    assert momenta("default") == {0.01}
