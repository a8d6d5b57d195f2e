"""Real ImageNet weights from files of others, told apart on real photographs of ants and bees."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision.models import MobileNet_V2_Weights

from fine_tuner.models.build import build_model

# Of 16 photographs each. ImageNet has both classes among its thousand; a network that guessed between the two would
# have 16 of 32, and one loaded with a layer missing has fewer still.
LEAST_RIGHT = 28
FILES = {
    "mobilenet_v2": "mobilenet_v2-qnnpack-dequant.pth",
    "squeezenet1_1": "squeezenet1_1-pnnx-fp16.pth",
    "squeezenet1_0": "squeezenet1_0-deep-compression.pth",
}


@pytest.fixture(scope="module")
def photographs(real_data):
    """Images ``(32, 3, 224, 224)`` of ants, then bees, and their classes in ImageNet."""
    weights = MobileNet_V2_Weights.IMAGENET1K_V1
    names, images = [], []
    for folder, name in (("ants", "ant"), ("bees", "bee")):
        for path in sorted((real_data / "hymenoptera" / "val" / folder).iterdir())[:16]:
            images.append(weights.transforms()(Image.open(path).convert("RGB")))
            names.append(weights.meta["categories"].index(name))
    return torch.stack(images), torch.tensor(names)


@pytest.mark.parametrize("name", FILES)
def test_weights_from_a_file_tell_ants_from_bees(name, real_data, photographs):
    path = real_data / "weights" / FILES[name]
    built = build_model(name, task="classification", num_outputs=1000, weights=str(path))
    assert built.new == frozenset()
    images, classes = photographs
    with torch.inference_mode():
        logits = built.model.eval()(images)
    either = logits[:, classes.unique()].argmax(1)
    assert (classes.unique()[either] == classes).sum() >= LEAST_RIGHT


@pytest.mark.parametrize("name", FILES)
def test_the_report_says_that_only_the_head_differs(name, real_data):
    path = real_data / "weights" / FILES[name]
    built = build_model(name, task="classification", num_outputs=2, weights=str(path))
    report = built.weights_report
    assert {m[0] for m in report.mismatched} == built.new
    assert (report.missing, report.unused) == ((), ())
    assert report.matched == len(built.model.state_dict()) - 2
