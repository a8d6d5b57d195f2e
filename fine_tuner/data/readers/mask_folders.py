"""Images and their masks in two folders, matched by stem; flat, below splits, or with splits below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import Passed, counted, holds_images, images_below, split_named, visible_folders
from fine_tuner.data.files.images import MASK_SUFFIXES
from fine_tuner.data.records import Record
from fine_tuner.data.source import UNSPLIT

IMAGE_FOLDERS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "rgb", "input", "inputs"}
)
MASK_FOLDERS = frozenset(
    {
        "masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "segmentation",
        "segmentationclass", "gt", "groundtruth", "ground_truth", "gtfine", "seg", "target", "targets",
    }
)  # fmt: skip
# What tools append to the stem of an image to name its mask; CamVid, Cityscapes, Carvana and others.
_MASK_ENDINGS = (
    "_mask", "-mask", "_masks", ".mask", "_seg", "-seg", "_segmentation", "_label", "_labels", "_labelids", "_gt", "_l",
    "_p", "_matte",
)  # fmt: skip
_IMAGE_ENDINGS = ("_image", "_img", "_rgb", "_leftimg8bit", "_sat")


@dataclass(frozen=True)
class FolderPair:
    """A folder of images and that of their masks."""

    images: Path
    masks: Path


@dataclass(frozen=True)
class Pairs:
    """Matched records of one split.

    Attributes:
        records: Target is the file of the mask.
        images_alone: Images without mask.
        masks_alone: Masks without image.
    """

    records: tuple[Record, ...]
    images_alone: tuple[Path, ...]
    masks_alone: tuple[Path, ...]


def find_folder_pairs(root: Path) -> dict[str, FolderPair]:
    """By split (``all`` where there are none) the folders below ``root`` that hold images and masks; empty if none."""
    here = _pair_in(root)
    if here is not None:
        images, masks = _split_below(here.images), _split_below(here.masks)
        shared = {split: FolderPair(images[split], masks[split]) for split in images if split in masks}
        return shared if "train" in shared else {UNSPLIT: here}
    folders = visible_folders(root)
    pairs = {}
    for folder in folders:
        split = split_named(folder.name)
        if split and (pair := _pair_in(folder) or _sibling_pair(folder, folders)):
            pairs[split] = pair
    return pairs if "train" in pairs else {}


def _pair_in(folder: Path) -> FolderPair | None:
    names = {f.name.lower(): f for f in visible_folders(folder)}
    images = next((names[n] for n in names if n in IMAGE_FOLDERS), None)
    masks = next((names[n] for n in names if n in MASK_FOLDERS), None)
    return FolderPair(images, masks) if images and masks and holds_images(masks, MASK_SUFFIXES) else None


def _split_below(folder: Path) -> dict[str, Path]:
    return {split: f for f in visible_folders(folder) if (split := split_named(f.name))}


def _sibling_pair(folder: Path, folders: list[Path]) -> FolderPair | None:
    """``train`` beside ``train_masks`` or ``train_labels``."""
    for other in folders:
        name = other.name.lower()
        if name.startswith(folder.name.lower()) and name[len(folder.name) :].lstrip("_-") in MASK_FOLDERS:
            return FolderPair(folder, other)
    return None


def match_masks(pair: FolderPair, passed: Passed) -> Pairs:
    """Images and masks of equal stem (below their folders), endings such as ``_mask`` left aside.

    Raises:
        DataError: If two masks fit one image.
    """
    masks: dict[str, Path] = {}
    for mask in images_below(pair.masks, passed, MASK_SUFFIXES):
        for key in _keys(mask, pair.masks, _MASK_ENDINGS):
            if key in masks and masks[key].stem.lower() == mask.stem.lower():
                raise DataError(f"{masks[key]} and {mask} are masks of one image. Remove one of them.")
            if key not in masks or key == _key(mask, pair.masks):  # an exact stem counts more than a shortened one
                masks[key] = mask
    records, alone, used = [], [], set()
    for image in images_below(pair.images, passed):
        key = next((k for k in _keys(image, pair.images, _IMAGE_ENDINGS) if k in masks), None)
        if key is None:
            alone.append(image)
        else:
            records.append(Record(image, masks[key]))
            used.add(masks[key])
    left = sorted(set(masks.values()) - used)
    return Pairs(tuple(records), tuple(alone), tuple(left))


def _key(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix().lower()


def _keys(path: Path, root: Path, endings: tuple[str, ...]) -> Iterator[str]:
    """The stem below ``root``, then without each ending that it has."""
    key = _key(path, root)
    yield key
    for ending in endings:
        if key.endswith(ending) and len(path.stem) > len(ending):
            yield key[: -len(ending)]


def read_pairs(pairs: Mapping[str, FolderPair], passed: Passed) -> dict[str, Pairs]:
    """Matched records of each split; a test folder without any matching mask is left out.

    Raises:
        DataError: If no image of train has a mask.
    """
    read = {split: match_masks(pair, passed) for split, pair in pairs.items()}
    for split, found in read.items():
        if not found.records and split in ("train", UNSPLIT):
            pair = pairs[split]
            raise DataError(
                f"No image in {pair.images} has a mask of the same name in {pair.masks} ("
                f"{counted(len(found.images_alone), 'image')}, {counted(len(found.masks_alone), 'mask')}, such as "
                f"{_example(found.images_alone)} and {_example(found.masks_alone)}). Give image and mask the same stem."
            )
    return {split: found for split, found in read.items() if found.records}


def _example(paths: tuple[Path, ...]) -> str:
    return paths[0].name if paths else "none"
