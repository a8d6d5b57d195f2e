"""The sample data set: made by the app, kept in the cache as plain files, serves all four tasks.

::

    <cache>/sample-<version>-<count>/
      images/0000.jpg ...   96 x 96 RGB
      masks/0000.png  ...   palette; 0 background, then one value per shape
      labels.csv            file, mask, shape, count, striped, dotted, night
      classes.txt           names of the mask values

Classification tells the shape, multi-label the patterns, regression counts, segmentation finds the shapes.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from PIL import Image

from fine_tuner.base.cache_folder import CACHE_VARIABLE, cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import making_folder
from fine_tuner.data.files.folders import Progress, no_progress
from fine_tuner.data.masks.coding import MaskCoding
from fine_tuner.data.readers.sample_pictures import LABELS, SHAPES, draw_picture
from fine_tuner.data.records import DataSplits, Record, Target
from fine_tuner.data.splitting import split_records

SAMPLE_PATH = "builtin:sample"
NUM_PICTURES = 640
VERSION = 1  # another number whenever the pictures change
_BACKGROUND = "background"
_PALETTE = (20, 20, 28, 230, 159, 0, 0, 158, 115, 86, 180, 233, 204, 121, 167)  # Okabe-Ito


def read_sample(*, task: str, val_fraction: float, seed: int, progress: Progress = no_progress) -> DataSplits:
    """The sample as records for ``task``, split.

    Raises:
        DataError: If it cannot be written to the cache folder.
    """
    root = sample_folder(progress)
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    records = [Record(root / row["file"], _target(row, task, root)) for row in rows]
    names = {"classification": SHAPES, "multilabel": LABELS, "segmentation": (_BACKGROUND, *SHAPES)}.get(task, ())
    train, val = split_records(records, val_fraction=val_fraction, seed=seed, names=names)
    what = {
        "classification": f"which of {len(SHAPES)} shapes it shows ({', '.join(SHAPES)})",
        "multilabel": f"which of {len(LABELS)} labels fit ({', '.join(LABELS)})",
        "regression": "how many shapes it shows",
        "segmentation": f"where its shapes are ({', '.join(SHAPES)})",
    }
    return DataSplits(
        task=task,
        classes=names,
        splits={"train": train, "val": val},
        kind=f"sample pictures made by the app; for each, {what[task]}",
        root=root,
        target_names=("count",) if task == "regression" else (),
        mask_coding=MaskCoding(tuple(range(len(SHAPES) + 1))) if task == "segmentation" else None,
    )


def _target(row: dict[str, str], task: str, root: Path) -> Target:
    match task:
        case "classification":
            return SHAPES.index(row["shape"])
        case "multilabel":
            return tuple(float(row[label]) for label in LABELS)
        case "regression":
            return (float(row["count"]),)
    return root / row["mask"]


def sample_folder(progress: Progress = no_progress, *, count: int = NUM_PICTURES) -> Path:
    """Folder of the first ``count`` pictures; made on the first call. Several processes may ask at once.

    Raises:
        DataError: If it cannot be written to the cache folder.
    """
    folder = cache_folder() / f"sample-{VERSION}-{count}"
    if _is_whole(folder, count):
        return folder
    try:
        with making_folder(folder, is_whole=lambda made: _is_whole(made, count)) as draft:
            _write(draft, count, progress)
    except OSError as error:
        raise DataError(
            f"The sample pictures cannot be written to {folder} ({error.strerror}). Free some space there, or name "
            f"another folder in the environment variable {CACHE_VARIABLE}."
        ) from None
    return folder


def _is_whole(folder: Path, count: int) -> bool:
    """Whether no cleaner of caches has eaten a part."""
    if not (folder / "labels.csv").is_file():
        return False
    parts = (folder / "images", folder / "masks")
    return all(part.is_dir() and sum(1 for _ in os.scandir(part)) == count for part in parts)


def _write(folder: Path, count: int, progress: Progress) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rows = []
    for number in range(count):
        picture = draw_picture(number)
        name, mask_name = f"images/{number:04d}.jpg", f"masks/{number:04d}.png"
        Image.fromarray(picture.pixels).save(folder / name, quality=98, subsampling=0)
        mask = Image.frombytes("P", picture.mask.shape[::-1], picture.mask.tobytes())
        mask.putpalette(_PALETTE)
        mask.save(folder / mask_name, compress_level=1)
        rows.append([name, mask_name, SHAPES[picture.shape], picture.count, *map(int, picture.labels)])
        if number % 32 == 31:
            progress("Making the sample pictures", number + 1, count)
    (folder / "classes.txt").write_text("\n".join((_BACKGROUND, *SHAPES)) + "\n", encoding="utf-8")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "mask", "shape", "count", *LABELS], *rows])
