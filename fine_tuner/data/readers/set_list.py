"""Which of torchvision's data sets are offered, as plain values: the page reads this, so it knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fine_tuner.config.tasks import CLASSIFICATION, SEGMENTATION
from fine_tuner.data.options import UNSPLIT

TORCHVISION_PREFIX = "torchvision:"
_TRAIN_TEST = {"train": {"train": True}, "test": {"train": False}}
_SPLITS = {"train": {"split": "train"}, "test": {"split": "test"}}
_SPLITS_WITH_VAL = {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}


@dataclass(frozen=True)
class TorchvisionSet:
    """One data set of torchvision that is offered.

    Attributes:
        name: The class in ``torchvision.datasets``.
        title: What it shows.
        num_images: In all splits together.
        num_classes: Of classification.
        download_mib: About as much is downloaded.
        splits: Our split to the arguments that select it.
        tasks: What it can be used for.
    """

    name: str
    title: str
    num_images: int
    num_classes: int
    download_mib: int
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {UNSPLIT: {}})
    tasks: tuple[str, ...] = (CLASSIFICATION.name,)


_PETS = {"train": {"split": "trainval"}, "test": {"split": "test"}}
_VOC = {"train": {"image_set": "train"}, "val": {"image_set": "val"}}
_MASKS = (SEGMENTATION.name,)
_CLASSES_AND_MASKS = (CLASSIFICATION.name, *_MASKS)
SETS: Mapping[str, TorchvisionSet] = {
    s.name: s
    for s in (
        TorchvisionSet("CIFAR10", "10 kinds of things, 32 px", 60_000, 10, 163, _TRAIN_TEST),
        TorchvisionSet("CIFAR100", "100 kinds of things, 32 px", 60_000, 100, 161, _TRAIN_TEST),
        TorchvisionSet("MNIST", "handwritten digits, 28 px grey", 70_000, 10, 11, _TRAIN_TEST),
        TorchvisionSet("FashionMNIST", "clothes, 28 px grey", 70_000, 10, 29, _TRAIN_TEST),
        TorchvisionSet("KMNIST", "cursive Japanese characters, 28 px grey", 70_000, 10, 20, _TRAIN_TEST),
        TorchvisionSet("SVHN", "digits of house numbers, 32 px", 99_289, 10, 235, _SPLITS),
        TorchvisionSet("STL10", "10 kinds of things, 96 px", 13_000, 10, 2_521, _SPLITS),
        TorchvisionSet("EuroSAT", "land use from satellites, 64 px", 27_000, 10, 90),
        TorchvisionSet("Flowers102", "flowers", 8_189, 102, 330, _SPLITS_WITH_VAL),
        TorchvisionSet("OxfordIIITPet", "breeds of cats and dogs", 7_349, 37, 774, _PETS, _CLASSES_AND_MASKS),
        TorchvisionSet("DTD", "textures described by words", 5_640, 47, 600, _SPLITS_WITH_VAL),
        TorchvisionSet("GTSRB", "German traffic signs", 39_270, 43, 260, _SPLITS),
        TorchvisionSet("FGVCAircraft", "variants of aircraft", 10_000, 100, 2_626, _SPLITS_WITH_VAL),
        TorchvisionSet("Food101", "dishes", 101_000, 101, 4_770, _SPLITS),
        TorchvisionSet("Imagenette", "10 easy classes of ImageNet", 13_394, 10, 1_484,
                       {"train": {"split": "train"}, "val": {"split": "val"}}),
        TorchvisionSet("RenderedSST2", "sentences drawn as pictures, good or bad", 9_613, 2, 15, _SPLITS_WITH_VAL),
        TorchvisionSet("VOCSegmentation", "20 kinds of objects, outlined", 2_913, 20, 1_907, _VOC, _MASKS),
    )
}  # fmt: skip
