"""What a network says of a picture: masks over the picture in its own size, padding counted nowhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fine_tuner.models.build import build_model
from fine_tuner.predict import Predictor


class Brightness(nn.Module):
    """Class 1 where the input is darker than bright white."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        level = images.mean(1, keepdim=True) - 1
        return {"out": torch.cat([level, -level], 1)}


@pytest.fixture(scope="module")
def masks():
    built = build_model("lraspp_mobilenet_v3_large", task="segmentation", num_outputs=2, weights="none", image_size=64)
    return Predictor(dataclasses.replace(built, model=Brightness()), {"classes": ["ground", "shape"]})


def pixels_of(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_shares_are_those_of_the_picture_without_its_padding(masks, tmp_path):
    Image.new("RGB", (80, 20), "white").save(tmp_path / "wide.png")  # three quarters of the square are padding
    assert masks.predict(tmp_path / "wide.png")["shares"] == {"ground": 1.0, "shape": 0.0}


def test_overlay_has_the_size_of_the_picture_and_the_colours_of_the_legend(masks, tmp_path):
    pixels = np.full((60, 120, 3), 255, np.uint8)
    pixels[:, :60] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    answer = masks.predict(tmp_path / "half.png", overlay=tmp_path / "new" / "000.png")
    assert answer["legend"] == [{"name": "ground", "colour": None}, {"name": "shape", "colour": "#e69f00"}]
    assert answer["shares"]["shape"] == pytest.approx(0.5, abs=0.02)
    shown = pixels_of(answer["overlay"])
    assert shown.shape == (60, 120, 3)
    assert (shown[:, 70:] == 255).all()
    half_orange = np.round(0.5 * np.array([0xE6, 0x9F, 0x00]))
    assert np.abs(shown[:, :50].astype(float) - half_orange).max() <= 1


def test_overlay_of_a_deep_picture_is_as_bright_as_what_the_network_saw(tmp_path):
    built = build_model("lraspp_mobilenet_v3_large", task="segmentation", num_outputs=2, weights="none", image_size=64)
    preprocessing = dataclasses.replace(built.preprocessing, pixel_range=(100, 1100))
    predictor = Predictor(
        dataclasses.replace(built, model=Brightness(), preprocessing=preprocessing), {"classes": ["ground", "shape"]}
    )
    Image.fromarray(np.full((40, 40), 1100, np.float32)).save(tmp_path / "white.tif")
    answer = predictor.predict(tmp_path / "white.tif", overlay=tmp_path / "seen.png")
    assert answer["shares"] == {"ground": 1.0, "shape": 0.0}
    assert (pixels_of(answer["overlay"]) == 255).all()


def test_large_picture_gets_an_overlay_of_a_size_to_look_at(masks, tmp_path):
    Image.new("RGB", (3000, 1500), "white").save(tmp_path / "large.png")
    answer = masks.predict(tmp_path / "large.png", overlay=tmp_path / "small.png")
    assert pixels_of(answer["overlay"]).shape == (512, 1024, 3)
