"""What is exported: the best network of a run as one function of pictures, and pictures of the run to check it with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import DataError
from fine_tuner.base.version import __version__
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.batches import ImageDataset
from fine_tuner.data.loading.transforms import ImageTransform, build_transforms
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.saved import load_network
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import best_weights

Where = Literal["inside", "outside"]
INPUT, OUTPUT = "images", "logits"
_NOISE_PICTURES = 8


class Deployed(nn.Module):
    """Pictures to logits, nothing else.

    Args:
        built: The network, whose auxiliary heads are left out.
        preprocessing: ``outside``: takes ``(B, 3, S, S)`` float32, normalised. ``inside``: takes ``(B, S, S, 3)``
            uint8, RGB, and normalises it itself. In both the picture has its size already.
    """

    def __init__(self, built: BuiltModel, preprocessing: Where) -> None:
        super().__init__()
        self.network = built.model.eval()
        self.takes_pixels = preprocessing == "inside"
        about = built.preprocessing
        scale = torch.tensor([1 / (255 * s) for s in about.std]).view(3, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(about.mean, about.std, strict=True)]).view(3, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K)``, or ``(B, K, S, S)`` of a segmentation network."""
        if self.takes_pixels:
            images = images.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift
        return split_outputs(self.network(images))[0]


@dataclass(frozen=True)
class Pictures:
    """Pictures to check with.

    Attributes:
        inputs: Each ``(1, ...)``, as the exported network takes it.
        targets: Of each; empty for noise.
        words: What they are, such as ``64 validation pictures``.
    """

    inputs: list[Tensor]
    targets: list[Tensor]
    words: str


class Exportable:
    """A network with what is known of it.

    Args:
        built: The network.
        about: Its metadata, see ``models/saved.py``.
        preprocessing: See ``Deployed``.
    """

    def __init__(self, built: BuiltModel, about: dict[str, Any], preprocessing: Where = "outside") -> None:
        self.built, self.about, self.preprocessing = built, about, preprocessing
        self.kind = target_kind(built.task)
        self.module = Deployed(built, preprocessing).eval().requires_grad_(False)

    @property
    def image_size(self) -> int:
        """Side of the picture in pixels."""
        return self.built.preprocessing.image_size

    def example(self, count: int = 2) -> Tensor:
        """Noise of the shape and type of an input of ``count`` pictures."""
        generator = torch.Generator().manual_seed(0)
        size = self.image_size
        if self.preprocessing == "inside":
            return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
        return torch.randn(count, 3, size, size, generator=generator)

    def facts(self) -> dict[str, str]:
        """What goes with the file, as text: names, task and preprocessing."""
        return {
            "classes": json.dumps(self.about["classes"]),
            "task": self.built.task,
            "preprocessing": json.dumps({**self.about["preprocessing"], "normalised": self.preprocessing}),
            "network": self.built.name,
            "run": str(self.about.get("run_id") or ""),
            "fine_tuner": __version__,
        }


class RunNetwork(Exportable):
    """The best network of a run, and the run's pictures.

    Args:
        run: With best weights.
        preprocessing: See ``Deployed``.

    Raises:
        RunError: If the run has no weights yet.
    """

    def __init__(self, run: RunFolder, preprocessing: Where = "outside") -> None:
        self.run = run
        super().__init__(*load_network(best_weights(run)), preprocessing)

    @cached_property
    def transform(self) -> ImageTransform:
        """As validation has it."""
        return build_transforms(augment="none", train=False, task=self.built.task, **self.about["preprocessing"])

    def pictures(self, split: Literal["train", "val"], most: int) -> Pictures:
        """Evenly chosen pictures of a split, without augmentation; noise where the run's data is gone."""
        data = DataSplits.from_file(self.run.splits)
        records = data.splits.get(split) or data.splits["train"]
        word = "validation" if data.splits.get(split) and split == "val" else "training"
        chosen = records[:: max(1, len(records) // most)][:most]
        try:
            return self._read(data, chosen, word)
        except DataError:
            noise = [self.example(_NOISE_PICTURES)[i : i + 1] for i in range(_NOISE_PICTURES)]
            return Pictures(noise, [], f"noise, since the {word} pictures of the run cannot be read any more")

    def _read(self, data: DataSplits, records: Sequence[Record], word: str) -> Pictures:
        dataset = ImageDataset(records, self.transform, self.built.task, mask_coding=data.mask_coding)
        pairs = [dataset[index] for index in range(len(dataset))]
        inputs = [self._as_input(image) for image, _ in pairs]
        return Pictures(inputs, [target[None] for _, target in pairs], f"{len(pairs)} {word} pictures")

    def _as_input(self, image: Tensor) -> Tensor:
        """``(3, S, S)`` normalised, as the exported network takes it."""
        if self.preprocessing == "inside":
            return self.transform.denormalise(image).permute(1, 2, 0)[None]
        return image[None]


def decision(logits: Tensor, kind: TargetKind) -> Tensor | None:
    """What the network decides: a class, a class per pixel, or which labels; None for numbers."""
    if kind is TargetKind.NUMBERS:
        return None
    return logits > 0 if kind is TargetKind.LABELS else logits.argmax(1)
