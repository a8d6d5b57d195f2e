"""Images and their masks in two folders, matched by stem; flat, below splits, or with splits below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted
from fine_tuner.data.files.folders import MASK_SUFFIXES, Passed, holds_images, images_below, visible_folders
from fine_tuner.data.masks.colour_tables import find_class_names, find_colour_table
from fine_tuner.data.masks.values import MaskScan, class_pixels, decide_classes, scan_masks
from fine_tuner.data.options import UNSPLIT, Problem, ReadOptions, Source, split_named
from fine_tuner.data.records import Record

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


def read_mask_folders(
    root: Path, pairs: Mapping[str, FolderPair], options: ReadOptions, progress: OnProgress
) -> Source:
    """Records of folders that ``find_folder_pairs`` found.

    Raises:
        DataError: If nothing matches, or the masks hold no classes.
    """
    passed = Passed()
    found = read_pairs(pairs, passed)
    problems = [
        problem
        for pair in found.values()
        for problem in (
            *(Problem("image_alone", f"Image {p} has no mask.", p) for p in pair.images_alone),
            *(Problem("mask_alone", f"Mask {p} has no image.", p) for p in pair.masks_alone),
        )
    ]
    records = {split: pair.records for split, pair in found.items()}
    first = next(iter(pairs.values()))
    where = f"{first.images.name}/ and {first.masks.name}/"
    if UNSPLIT not in records:
        where += f" in {', '.join(records)}"
    source = with_classes(root, records, options, progress, words=f"images with masks in {where}")
    return replace(source, notices=(*source.notices, *passed.notices()), problems=(*problems, *source.problems))


def with_classes(
    root: Path,
    records: Mapping[str, Sequence[Record]],
    options: ReadOptions,
    progress: OnProgress,
    *,
    words: str,
    names: tuple[str, ...] = (),
) -> Source:
    """Reads the masks of ``records`` and decides their classes; records whose mask cannot be read become problems.

    Raises:
        DataError: If the masks hold no classes.
    """
    beside = (root, *(p for p in (root / "masks", root.parent) if p.is_dir()))
    colours = find_colour_table(beside, options.colour_table)
    masks = [r.target for rows in records.values() for r in rows if isinstance(r.target, Path)]
    scan = scan_masks(masks, has_colour_table=bool(colours), progress=progress)
    decided = decide_classes(scan, options, colours=colours, listed_names=names or find_class_names(beside))
    kept, problems = _readable(records, scan)
    problems += _unknown_values(scan, decided.coding.values, decided.coding.ignored, decided.coding.written)
    return Source(
        records=kept,
        classes=decided.names,
        words=f"{words}, {decided.words}: {len(decided.names)} classes ({_some(decided.names)})",
        mask_coding=decided.coding,
        mask_pixels={mask: class_pixels(scan, decided.coding, mask) for mask in masks},
        notices=decided.notices,
        problems=tuple(problems),
    )


def _readable(
    records: Mapping[str, Sequence[Record]], scan: MaskScan
) -> tuple[dict[str, tuple[Record, ...]], list[Problem]]:
    kept, problems = {}, []
    for split, rows in records.items():
        kept[split] = tuple(r for r in rows if "error" not in scan.files[r.target])
        bad = [r.target for r in rows if "error" in scan.files[r.target]]
        problems += [Problem("unreadable", scan.files[mask]["error"], mask) for mask in bad]
    return kept, problems


def _unknown_values(scan: MaskScan, values: Sequence[int], ignored: Sequence[int], written: object) -> list[Problem]:
    known = {*values, *ignored}
    return [
        Problem("unknown_value", f"Mask {scan.holders[v]} holds {written(v)}, which is no class.", scan.holders[v])
        for v in sorted(set(scan.counts) - known)
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
