"""A picture is one tensor: what trains, is validated, evaluated, predicted and repeated by a script, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.files.decoded_folder import DecodedFolder
from fine_tuner.data.files.images import load_image
from fine_tuner.data.loading.batches import EvalBatches, ImageDataset
from fine_tuner.data.loading.decoded import DecodedPictures
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.records import Record
from fine_tuner.export.networks.snippets import reading_lines
from fine_tuner.export.script.replay_pictures import Pictures
from fine_tuner.models.build import BuiltModel, build_model
from fine_tuner.predict import Predictor

SIDE = 32
RANGE = (2000, 50000)  # of pictures of more than 8 bits
TASKS = {"classification": 1, "multilabel": (1.0, 0.0), "regression": (3.0, 4.0), "segmentation": None}


def _noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Noise has no scale: whoever decodes it at another size gets other numbers."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


FORMATS: dict[str, Callable[[Path], None]] = {
    "large.jpg": lambda path: Image.fromarray(_noise(700, 1000)).save(path),
    "turned.jpg": lambda path: Image.fromarray(_noise(500, 300)).save(path, exif=_exif(6)),
    "grey.jpg": lambda path: Image.fromarray(_noise(300, 400)[..., 0]).save(path),
    "cmyk.jpg": lambda path: Image.fromarray(_noise(300, 400, 4), "CMYK").save(path),
    "mirrored.png": lambda path: Image.fromarray(_noise(300, 400)).save(path, exif=_exif(5)),
    "progressive.jpg": lambda path: Image.fromarray(_noise(800, 600)).save(path, progressive=True, subsampling=2),
    "plain.png": lambda path: Image.fromarray(_noise(300, 400)).save(path),
    "clear.png": lambda path: Image.fromarray(_noise(300, 400, 4)).save(path),
    "palette.png": lambda path: Image.fromarray(_noise(300, 400)).quantize(16).save(path, transparency=3),
    "sixteen.png": lambda path: Image.fromarray(_noise(300, 400)[..., 0].astype(np.uint16) * 257).save(path),
    "one.png": lambda path: Image.fromarray(_noise(300, 400)[..., 0] > 128).save(path),
    "grey_clear.png": lambda path: Image.fromarray(_noise(300, 400, 2), "LA").save(path),
    "sixteen.tif": lambda path: Image.fromarray(_noise(300, 400)[..., 0].astype(np.uint16) * 257).save(path),
    "float.tif": lambda path: Image.fromarray(_noise(300, 400)[..., 0].astype(np.float32) * 200).save(path),
    "packed.tif": lambda path: Image.fromarray(_noise(300, 400)).save(path, compression="tiff_lzw"),
    "turned.tif": lambda path: Image.fromarray(_noise(300, 400)).save(path, exif=_exif(8)),
    "plain.avif": lambda path: Image.fromarray(_noise(300, 400)).save(path),
    "clear.gif": lambda path: Image.fromarray(_noise(300, 400)).quantize(16).save(path, transparency=3),
    "lossy.webp": lambda path: Image.fromarray(_noise(300, 400)).save(path),
    "animated.gif": lambda path: Image.fromarray(_noise(300, 400)).quantize(64).save(path),
    "strips.tif": lambda path: Image.fromarray(_noise(300, 400)).save(path),
    "plain.bmp": lambda path: Image.fromarray(_noise(300, 400)).save(path),
    "plain.ppm": lambda path: Image.fromarray(_noise(300, 400)).save(path),
}


class Seen(nn.Module):
    """Remembers what it was asked about."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.is_map = task == "segmentation"

    def forward(self, images: Tensor) -> Tensor:
        self.images = images.clone()
        return torch.zeros(1, 2, SIDE, SIDE) if self.is_map else torch.zeros(1, 2)


@cache
def _built(task: str) -> BuiltModel:
    name = "lraspp_mobilenet_v3_large" if task == "segmentation" else "shufflenet_v2_x0_5"
    return build_model(name, task=task, num_outputs=2, weights="none", image_size=SIDE)


def _predicted(task: str, path: Path) -> tuple[Tensor, dict[str, Any]]:
    """What a network is shown of the file, and the preprocessing of its weights."""
    built, seen = _built(task), Seen(task)
    preprocessing = dataclasses.replace(built.preprocessing, pixel_range=RANGE)
    asked = dataclasses.replace(built, model=seen, preprocessing=preprocessing)
    Predictor(asked, {"classes": ["a", "b"]}).predict(path)
    return seen.images[0], preprocessing.to_dict()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FORMATS)
def test_evaluation_prediction_and_script_see_the_same_tensor(name: str, task: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FORMATS[name](path)
    predicted, preprocessing = _predicted(task, path)
    transform = build_transforms(augment="none", train=False, task=task, **preprocessing)
    target = TASKS[task]
    if target is None:
        target = tmp_path / "mask.png"
        Image.new("L", load_image(path, pixel_range=RANGE).size).save(target)
    dataset = ImageDataset([Record(path, target)], transform, task, mask_coding=MaskCoding(values=(0, 1)))
    ((evaluated, _),) = EvalBatches(dataset, batch_size=4, num_workers=0)
    dataset.decoded = DecodedPictures(DecodedFolder(tmp_path / "kept", limit_mib=16))
    for _ in range(2):  # decoded and kept, then taken from there
        ((from_kept, _),) = EvalBatches(dataset, batch_size=4, num_workers=0)
        torch.testing.assert_close(from_kept, evaluated, rtol=0, atol=0)
    script = Pictures([{"image": name}], tmp_path, transform, lambda *about: np.zeros(about[2][::-1], np.uint8), 0)
    assert predicted.shape == (3, SIDE, SIDE)
    torch.testing.assert_close(evaluated[0], predicted, rtol=0, atol=0)
    torch.testing.assert_close(script[(0, 0)][0], predicted, rtol=0, atol=0)


@pytest.mark.parametrize("name", FORMATS)
def test_code_to_paste_beside_an_export_reads_the_same_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FORMATS[name](path)
    transform = build_transforms(
        augment="none", train=False, task="classification", **_built("classification").preprocessing.to_dict()
    )
    how = {**_built("classification").preprocessing.to_dict(), "pixel_range": list(RANGE)}
    for kind, least in ((TargetKind.CLASS, transform.min_side_px), (TargetKind.MASK, None)):
        pasted = {"Image": Image, "ImageOps": ImageOps, "np": np, "how": how}
        exec(reading_lines(kind).replace("picture.jpg", str(path)), pasted)
        expected = load_image(path, min_side_px=least, pixel_range=RANGE)
        np.testing.assert_array_equal(pasted["picture"], expected)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    """So the test above compares pictures that a full decode would give other numbers for."""
    FORMATS["large.jpg"](tmp_path / "large.jpg")
    predicted, preprocessing = _predicted("classification", tmp_path / "large.jpg")
    transform = build_transforms(augment="none", train=False, task="classification", **preprocessing)
    with Image.open(tmp_path / "large.jpg") as image:
        whole, _ = transform(image.convert("RGB"), None)
    assert not torch.equal(predicted, whole)
