"""A few training images as the network will see them, written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.base.registry import suggest
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.preview import preview
from fine_tuner.data.mask_coding import legend
from fine_tuner.distributed.devices import choose_device
from fine_tuner.models.build import find_preprocessing
from fine_tuner.tasks.build import build_data, build_dataset
from fine_tuner.tasks.fill_in import filled_size


def write_preview(settings: Settings, folder: Path, *, count: int, draw: int, only: str = "") -> dict[str, Any]:
    """Write augmented training images, colours as they were before normalising.

    Args:
        settings: Decide data, size and augmentation; the network itself is not built.
        folder: Made if it is not there.
        count: How many pictures.
        draw: Another number draws other images and another augmentation.
        only: Name of a class: only images of it, or with this label, or whose mask holds it; empty: any.

    Returns:
        ``{"images": [{"file", "label"}], "classes": [...], "legend": [...]}``; the legend, of the colours of masks, is
        empty for other tasks.

    Raises:
        DataError: If there is no class ``only``, or the data cannot be read.
    """
    data = build_data(settings)
    settings = filled_size(settings, data, choose_device(settings.devices))
    names = list(data.output_names)
    if only and (only not in data.classes):
        raise DataError(f"There is no class {only!r} in the data.{suggest(only, names)}")
    model = settings.model
    preprocessing = find_preprocessing(
        model.name, task=settings.task, weights=model.weights, image_size=settings.data.image_size
    )
    dataset = build_dataset(settings, data, preprocessing, "train")
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    chosen = names.index(only) if only else None
    drawn = preview(dataset, names, count=count, draw=draw, seed=settings.seed, only=chosen)
    for number, shown in enumerate(drawn):
        path = folder / f"{number:02d}.png"
        shown.picture.save(path)
        images.append({"file": str(path), "label": shown.label})
    colours = legend(names) if target_kind(settings.task) is TargetKind.MASK else []
    return {"images": images, "classes": names, "legend": colours}
