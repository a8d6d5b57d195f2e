"""What the network sees is the picture, moved and tinted, and its mask moves with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from fine_tuner.data.loading.randomness import randomness_of
from fine_tuner.data.loading.transforms import (
    AUGMENTATIONS,
    ColourChange,
    ImageTransform,
    RandomFlip,
    RandomResizedCrop,
    build_transforms,
    colour_matrix,
)
from fine_tuner.data.mask_coding import IGNORE_INDEX

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TASKS = ("classification", "multilabel", "regression", "segmentation")


def build(**changes: object) -> ImageTransform:
    settings = {"augment": "none", "train": False, "image_size": 32, "resize_size": 36, "task": "classification"}
    return build_transforms(**{**settings, "mean": MEAN, "std": STD, **changes})


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_evaluation_equals_the_preprocessing_of_the_weights() -> None:
    """Against torchvision's own preset, which works on floats after the resize; ours is one multiplication."""
    image = noise(300, 260)
    preset = ResNet18_Weights.DEFAULT.transforms(antialias=True)
    ours, target = build(image_size=224, resize_size=256)(image, 3)
    assert target == 3
    assert ours.shape == (3, 224, 224)
    assert ours.dtype == torch.float32
    # torchvision resizes a PIL image with PIL, we a tensor: a level of 255 apart, 1 / 255 / 0.224
    assert (ours - preset(image)).abs().max() <= 1.01 / 255 / min(STD)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(20, 90), (90, 20), (33, 32), (300, 200)])
def test_any_picture_becomes_the_square(task: str, augment: str, size: tuple[int, int]) -> None:
    transform = build(task=task, augment=augment, train=True)
    target = np.ones(size[::-1], np.uint8) if task == "segmentation" else 1
    for draw in range(8):
        with randomness_of(draw):
            pixels, moved = transform(noise(*size), target)
        assert pixels.shape == (3, 32, 32)
        assert pixels.dtype == torch.float32
        if task == "segmentation":
            assert moved.shape == (32, 32)
            assert moved.dtype == torch.int64
            assert set(moved.unique().tolist()) <= {1, IGNORE_INDEX}


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("train", [True, False])
def test_mask_moves_with_the_picture(augment: str, train: bool) -> None:
    """A picture whose red says which half of which quarter a pixel is in; the mask says the same."""
    rows, columns = np.mgrid[0:60, 0:80]
    classes = ((rows // 30) * 2 + columns // 40).astype(np.uint8)
    image = Image.fromarray(np.dstack([classes * 80] * 3))
    transform = build(task="segmentation", augment=augment, train=train, image_size=48)
    for draw in range(10):
        with randomness_of(draw):
            pixels, mask = transform(image, classes)
        seen = transform.denormalise(pixels).float().mean(0) / 80
        inside = mask != IGNORE_INDEX
        # Blurred by resampling at the borders, and tinted: all others must agree on the order of brightness.
        levels = [seen[mask == k].median() for k in mask[inside].unique().tolist()]
        assert levels == sorted(levels)
        flat = inside & (torch.nn.functional.max_pool2d(mask[None, None].float(), 7, 1, 3)[0, 0] == mask)
        flat &= -torch.nn.functional.max_pool2d(-mask[None, None].float(), 7, 1, 3)[0, 0] == mask
        for k in mask[flat].unique().tolist():
            values = seen[flat & (mask == k)]
            assert values.max() - values.min() < 0.2, "away from borders a class is one brightness"


def test_evaluation_of_segmentation_shows_the_whole_picture_and_ignores_the_padding() -> None:
    transform = build(task="segmentation", image_size=40)
    pixels, mask = transform(Image.new("RGB", (80, 40), (255, 0, 0)), np.ones((40, 80), np.uint8))
    assert (mask[10:30] == 1).all()
    assert (mask[:10] == IGNORE_INDEX).all()
    assert (mask[30:] == IGNORE_INDEX).all()
    assert pixels[:, :10].abs().max() < 0.02, "padding is the mean colour: 0 after normalisation"


def test_regression_never_cuts_anything_away() -> None:
    """Eight white dots along the border are all still there, whatever the augmentation of counting allows."""
    image = Image.new("RGB", (64, 64))
    for x, y in [(8, 8), (32, 8), (56, 8), (8, 32), (56, 32), (8, 56), (32, 56), (56, 56)]:
        image.paste((255, 255, 255), (x - 3, y - 3, x + 3, y + 3))
    for augment in AUGMENTATIONS:
        transform = build(task="regression", augment=augment, train=True, image_size=64)
        for draw in range(10):
            with randomness_of(draw):
                seen = transform.denormalise(transform(image, 0)[0]).float()
            dots = torch.nn.functional.max_pool2d(seen.mean(0)[None, None], 5, 1, 2)[0, 0]
            peaks = (dots == seen.mean(0)) & (dots > 0.6 * seen.max())
            rows, columns = (len({int(v) // 6 for v in axis}) for axis in torch.nonzero(peaks).T)
            assert (rows, columns) >= (3, 3), "three rows and three columns of dots"


def test_no_flip_leaves_left_and_right() -> None:
    image = Image.new("RGB", (32, 32))
    image.paste((255, 255, 255), (0, 0, 16, 32))
    for task in TASKS:
        transform = build(task=task, augment="light", train=True, flip=False)
        for draw in range(8):
            with randomness_of(draw):
                pixels, _ = transform(image, np.zeros((32, 32), np.uint8) if task == "segmentation" else 0)
            assert pixels[:, 14:18, 2:8].mean() > pixels[:, 14:18, 24:30].mean()


def test_denormalise_is_the_inverse() -> None:
    transform = build()
    pixels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    assert torch.equal(transform.denormalise(transform.normalise(pixels)), pixels)


def test_colour_matrix_of_no_change_is_the_identity() -> None:
    assert torch.allclose(colour_matrix(1, 1, 0), torch.eye(3), atol=1e-5)


def test_colour_matrix_keeps_grey_grey() -> None:
    grey = torch.full((3,), 100.0)
    assert torch.allclose(colour_matrix(1.2, 0.3, 0.04) @ grey, 1.2 * grey, rtol=1e-2), "YIQ is given to 3 digits"


def test_saturation_of_zero_is_luma() -> None:
    red = torch.tensor([200.0, 0.0, 0.0])
    assert torch.allclose(colour_matrix(1, 0, 0) @ red, torch.full((3,), 0.299 * 200), rtol=1e-2)


def test_contrast_turns_about_the_mean_grey() -> None:
    """Brightness and saturation apart, the mean luma of the picture stays where it was."""
    pixels = torch.tensor(np.random.default_rng(0).uniform(80, 160, (3, 20, 20)), dtype=torch.float32)
    luma = torch.tensor([0.299, 0.587, 0.114])
    for draw in range(5):
        with randomness_of(draw):
            changed = ColourChange(0.3)(pixels)
        with randomness_of(draw):
            brightness = 1 + 0.3 * (2 * torch.rand(4)[0].item() - 1)
        means = [torch.einsum("c,chw->", luma, p) / 400 for p in (pixels, changed)]
        assert means[1] / means[0] == pytest.approx(brightness, rel=0.02)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="augment 'huge' is not one of none, light"):
        build(augment="huge")
    with pytest.raises(ValueError, match="cubic"):
        build(interpolation="cubic")


def test_random_crop_is_the_part_it_says_scaled_as_torchvision_does() -> None:
    """A picture of its own coordinates: the box can be read off the result, within a pixel of smoothing."""
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(240), indexing="ij")
    pixels = torch.stack([rows, columns, rows]).to(torch.uint8)
    crop = RandomResizedCrop(64, area=(0.35, 1.0), mode=InterpolationMode.BILINEAR)
    shares = []
    for draw in range(200):
        with randomness_of(draw):
            box = crop._box(200, 240)
        top, left, height, width = box
        assert top >= 0
        assert left >= 0
        assert top + height <= 200
        assert left + width <= 240
        assert 0.74 < width / height < 1.34
        shares.append(height * width / (200 * 240))
        if draw < 10:
            with randomness_of(draw):
                seen = crop(pixels)
            expected = v2.functional.resized_crop(pixels, *box, [64, 64], antialias=True)
            assert torch.equal(seen, expected)
    assert min(shares) > 0.34
    assert min(shares) < 0.5
    assert max(shares) > 0.8


def test_very_long_picture_is_cropped_in_its_middle() -> None:
    crop = RandomResizedCrop(64, area=(0.8, 1.0), mode=InterpolationMode.BILINEAR)
    with randomness_of(0):
        assert crop._box(1000, 10) == (493, 0, 13, 10)


def test_half_of_the_pictures_are_mirrored_with_their_masks() -> None:
    picture, mask = torch.arange(12).view(3, 2, 2), torch.tensor([[1, 0], [1, 0]])
    mirrored = 0
    for draw in range(100):
        with randomness_of(draw):
            moved, moved_mask = RandomFlip()(picture, mask)
        is_mirrored = not torch.equal(moved, picture)
        assert torch.equal(moved_mask, mask.flip(-1) if is_mirrored else mask)
        mirrored += is_mirrored
    assert 30 < mirrored < 70
