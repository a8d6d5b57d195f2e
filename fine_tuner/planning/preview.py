"""A few training images as the network will see them, written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fine_tuner.config.settings import Settings
from fine_tuner.data.preview import preview
from fine_tuner.models.build import find_preprocessing
from fine_tuner.tasks.build import build_data, build_dataset


def write_preview(settings: Settings, folder: Path, *, count: int, draw: int) -> dict[str, Any]:
    """Write augmented training images, colours as they were before normalising.

    Args:
        settings: Decide data, size and augmentation; the network itself is not built.
        folder: Made if it is not there.
        count: How many pictures.
        draw: Another number draws other images and another augmentation.

    Returns:
        ``{"images": [{"file", "label"}], "classes": [...]}``.
    """
    data = build_data(settings)
    model = settings.model
    preprocessing = find_preprocessing(
        model.name, task=settings.task, weights=model.weights, image_size=settings.data.image_size
    )
    dataset = build_dataset(settings, data, preprocessing, "train")
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, shown in enumerate(preview(dataset, data.output_names, count=count, draw=draw, seed=settings.seed)):
        path = folder / f"{number:02d}.png"
        shown.picture.save(path)
        images.append({"file": str(path), "label": shown.label})
    return {"images": images, "classes": list(data.output_names)}
