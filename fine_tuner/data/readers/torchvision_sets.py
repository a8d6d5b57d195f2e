"""torchvision's own data sets as records: downloaded with progress, or found where they are.

``torchvision:CIFAR10`` lives in the cache; ``torchvision:CIFAR10@/data`` in ``/data``, as torchvision lays it out. Sets
whose images are files are used where they lie; those that come as arrays (CIFAR, MNIST, ...) are written as PNG once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchvision import datasets
from torchvision.models.segmentation import FCN_ResNet50_Weights

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import making_folder
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.registry import suggest
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.options import ReadOptions, Source
from fine_tuner.data.readers.mask_folders import with_classes
from fine_tuner.data.readers.set_list import SETS, TorchvisionSet
from fine_tuner.data.records import Record


def read_torchvision(
    text: str, task: str, options: ReadOptions, progress: OnProgress, *, may_download: bool = True
) -> tuple[Path, Source]:
    """Folder and records of a set.

    Args:
        text: ``NAME`` or ``NAME@ROOT``.
        task: What it is to be used for.
        options: Choices of reading.
        progress: Called with bytes while downloading, with images while writing.
        may_download: Fetch what is not there.

    Raises:
        DataError: If there is no such set, it does not serve the task, or it can be neither found nor downloaded.
    """
    name, _, given_root = text.partition("@")
    spec = SETS.get(name)
    if spec is None:
        raise DataError(
            f"data.path: torchvision:{name} is not offered.{suggest(name, SETS)} There are {', '.join(SETS)}."
        )
    if task not in spec.tasks:
        raise DataError(f"torchvision:{name} does not serve task={task}. Choose task={spec.tasks[0]}.")
    root = Path(given_root).expanduser().absolute() if given_root else cache_folder() / "torchvision"
    loaded = {
        split: _load(spec, root, arguments, task, progress if may_download else None)
        for split, arguments in spec.splits.items()
    }
    words = f"torchvision's {name} ({spec.title})"
    if target_kind(task) is TargetKind.MASK:
        return _segmentation(root, loaded, options, progress, words)
    names = _class_names(spec, loaded)
    records = {split: tuple(_records(spec, data, split, names, progress)) for split, data in loaded.items()}
    return root, Source(records=records, classes=names, words=f"{words}, {counted(len(names), 'class')}")


def _load(
    spec: TorchvisionSet, root: Path, arguments: Mapping[str, Any], task: str, progress: OnProgress | None
) -> Any:
    """Torchvision's object for one split; downloads only what is not there, and nothing without ``progress``."""
    cls = getattr(datasets, spec.name)
    extra = (
        {"target_types": "segmentation"}
        if spec.name == "OxfordIIITPet" and target_kind(task) is TargetKind.MASK
        else {}
    )
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(RuntimeError, FileNotFoundError):  # what they raise where nothing is to be found
        return cls(str(root), download=False, **arguments, **extra)
    if progress is None:
        raise DataError(
            f"torchvision:{spec.name} is not in {root}; about {spec.download_mib:,} MiB would be downloaded. Press "
            f"Download and check on the page, run: python -m fine_tuner check-data torchvision:{spec.name}, or name "
            f"the folder that holds it as torchvision:{spec.name}@FOLDER."
        )
    try:
        with _progress_of_downloads(progress, spec.name), contextlib.redirect_stdout(sys.stderr):
            return cls(str(root), download=True, **arguments, **extra)
    except ModuleNotFoundError as error:
        raise DataError(
            f"torchvision's {spec.name} needs the package {error.name}. Run: pip install {error.name}"
        ) from None
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"torchvision:{spec.name} is not in {root} and cannot be downloaded ({error}). Connect to the network, put "
            f"it there by hand, or name its folder as torchvision:{spec.name}@FOLDER."
        ) from None


@contextlib.contextmanager
def _progress_of_downloads(progress: OnProgress, name: str) -> Iterator[None]:
    """Inside, torchvision's progress bars report to ``progress``; it offers no other way to watch a download."""

    class Bar(contextlib.AbstractContextManager["Bar"]):
        def __init__(self, *_: Any, total: int | None = None, **__: Any) -> None:
            self.total, self.done = total, 0

        def update(self, size: int) -> None:
            self.done += size
            progress(f"Downloading {name}", self.done, self.total)

        def __exit__(self, *_: object) -> None:
            pass

    original = getattr(datasets.utils, "tqdm", None)
    datasets.utils.tqdm = Bar
    try:
        yield
    finally:
        datasets.utils.tqdm = original


def _class_names(spec: TorchvisionSet, loaded: Mapping[str, Any]) -> tuple[str, ...]:
    names = getattr(next(iter(loaded.values())), "classes", None)
    return tuple(map(str, names or range(spec.num_classes)))


# ----------------------------------------------------------- classification
def _records(
    spec: TorchvisionSet, data: Any, split: str, names: Sequence[str], progress: OnProgress
) -> Iterator[Record]:
    pairs = _files_of(data)
    if pairs is None:
        pairs = _written_once(spec, data, split, names, progress)
    for path, target in pairs:
        yield Record(Path(path), int(target))


def _files_of(data: Any) -> list[tuple[Path, int]] | None:
    """Files and classes, for sets that keep images as files; torchvision names these lists in a few ways."""
    for attribute in ("samples", "_samples"):
        if hasattr(data, attribute):
            return [(Path(path), target) for path, target in getattr(data, attribute)]
    for attribute in ("_image_files", "_images"):
        if hasattr(data, attribute) and hasattr(data, "_labels"):
            return [(Path(p), t) for p, t in zip(getattr(data, attribute), data._labels, strict=True)]
    return None


def _written_once(
    spec: TorchvisionSet, data: Any, split: str, names: Sequence[str], progress: OnProgress
) -> list[tuple[Path, int]]:
    """Images of a set that comes as arrays, as PNG files in the cache."""
    folder = cache_folder() / "torchvision-files" / f"{spec.name}-{split}-{len(data)}"
    targets = [int(t) for t in (data.targets if hasattr(data, "targets") else data.labels)]
    places = [f"{target}/{i:06d}.png" for i, target in enumerate(targets)]
    if not folder.is_dir():
        with making_folder(folder) as draft:
            for target in range(len(names)):
                (draft / str(target)).mkdir()
            for i, place in enumerate(places):
                data[i][0].save(draft / place, compress_level=1)
                if i % 500 == 499 or i == len(places) - 1:
                    progress(f"Writing {spec.name} as files", i + 1, len(places))
    return [(folder / place, target) for place, target in zip(places, targets, strict=True)]


# ------------------------------------------------------------- segmentation
def _segmentation(
    root: Path, loaded: Mapping[str, Any], options: ReadOptions, progress: OnProgress, words: str
) -> tuple[Path, Source]:
    records = {}
    for split, data in loaded.items():
        images = data.images if hasattr(data, "images") else data._images
        masks = data.masks if hasattr(data, "masks") else data._segs
        records[split] = tuple(Record(Path(i), Path(m)) for i, m in zip(images, masks, strict=True))
    is_pets = hasattr(next(iter(loaded.values())), "_segs")
    names = ("pet", "background", "border") if is_pets else _voc_names()
    return root, with_classes(root, records, options, progress, words=words, names=names)


def _voc_names() -> tuple[str, ...]:
    return tuple(name.strip("_") for name in FCN_ResNet50_Weights.DEFAULT.meta["categories"])
