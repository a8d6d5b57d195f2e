"""Images and their masks in two folders, matched by stem; flat, below splits, or with splits below them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted, some
from fine_tuner.data.files.folders import (
    Passed,
    composed,
    holds_images,
    images_below,
    visible_files,
    visible_folders,
)
from fine_tuner.data.masks.values import MaskScan, class_pixels, decide_classes, scan_masks
from fine_tuner.data.notices import Notice
from fine_tuner.data.options import SPLIT_NAMES, UNSPLIT, Problem, ReadOptions, Source, split_named
from fine_tuner.data.readers.colour_tables import find_class_names, find_colour_table
from fine_tuner.data.readers.masks_beside import (
    LEAST_SHARE_OF_MASKS,
    MASK_NAMES,
    joined,
    masks_beside,
    plain_name,
    share_of_masks,
)
from fine_tuner.data.readers.split_lists import SPLIT_LISTS, SplitLists, read_split_lists
from fine_tuner.data.records import Record

IMAGE_FOLDERS = frozenset(
    {
        "images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "rgb", "input", "inputs", "original",
        "originals", "leftimg8bit", "pics", "src",
    }
)  # fmt: skip
MASK_FOLDERS = frozenset(MASK_NAMES)
_LEAST_MATCH = 0.5
_LOOKED_AT = 400
# What tools append to the stem of an image to name its mask; CamVid, Cityscapes, Carvana and others.
_MASK_ENDINGS = (
    "_mask", "-mask", "_masks", ".mask", "_seg", "-seg", "_segmentation", "_label", "_labels", "_labelids", "_gt", "_l",
    "_p", "_matte",
)  # fmt: skip
_MASK_NUMBER = re.compile(r"([_\-.](?:mask|seg|gt|label|annotation))[_\-]?\d+$", re.IGNORECASE)
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


def find_folder_pairs(root: Path, options: ReadOptions | None = None) -> dict[str, FolderPair]:
    """By split (``all`` where there are none) the folders below ``root`` that hold images and masks; empty if none.

    ::

        images/ masks/                     train/images/ train/masks/           train/ trainannot/ val/ valannot/
        images/train/ masks/train/         train_images/ train_masks/

    Of several folders that may hold the masks, the one that fits the images best is taken.

    Raises:
        DataError: If ``options`` names a folder that is not there.
    """
    if options is not None and (options.image_folder or options.mask_folder):
        return _named_pairs(root, options)
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
    pairs = pairs or _prefixed_pairs(folders)
    return pairs if "train" in pairs else {}


def _named_pairs(root: Path, options: ReadOptions) -> dict[str, FolderPair]:
    """The folders that the user named, ``{split}`` in them standing for each split there is."""
    given = {"image_folder": options.image_folder, "mask_folder": options.mask_folder}
    for setting, other in (("image_folder", "mask_folder"), ("mask_folder", "image_folder")):
        if not given[setting]:
            raise DataError(f"data.{setting} is empty, data.{other} is {given[other]!r}. Give both, or neither.")
    if not any("{split}" in text for text in given.values()):
        pair = FolderPair(*(_folder_of(root, text, setting) for setting, text in given.items()))
        images, masks = _split_below(pair.images), _split_below(pair.masks)
        shared = {split: FolderPair(images[split], masks[split]) for split in images if split in masks}
        return shared if "train" in shared else {UNSPLIT: pair}
    pairs: dict[str, FolderPair] = {}
    for name in SPLIT_NAMES:
        texts = [text.replace("{split}", name) for text in given.values()]
        if all((root / text).is_dir() for text in texts):
            pairs.setdefault(split_named(name) or name, FolderPair(root / texts[0], root / texts[1]))
    if "train" not in pairs:
        _folder_of(root, given["image_folder"].replace("{split}", "train"), "image_folder")
        _folder_of(root, given["mask_folder"].replace("{split}", "train"), "mask_folder")
    return pairs


def _folder_of(root: Path, text: str, setting: str) -> Path:
    folder = root / Path(text).expanduser()
    if not folder.is_dir():
        there = ", ".join(f.name for f in visible_folders(root)[:8]) or "none"
        raise DataError(f"data.{setting}: there is no folder {folder}. Folders in {root}: {there}. Correct it.")
    return folder


def _pair_in(folder: Path) -> FolderPair | None:
    """The folders in ``folder`` whose names and files say that they are images and masks."""
    folders = visible_folders(folder)
    masks = sorted((f for f in folders if plain_name(f.name) in MASK_FOLDERS), key=_rank)
    masks = [f for f in masks if holds_images(f)]
    images = [f for f in folders if f.name.lower() in IMAGE_FOLDERS and holds_images(f)]
    if not masks:
        return None
    if not images:  # CXR_png/ beside masks/
        images = [f for f in folders if f not in masks and split_named(f.name) is None and holds_images(f)]
        fits = [(i, m) for i in images for m in masks if _match(i, m) >= _LEAST_MATCH]
        return FolderPair(*fits[0]) if len(images) == 1 and fits else None
    return max(
        (FolderPair(i, m) for i in images for m in masks), key=lambda p: (_match(p.images, p.masks), -_rank(p.masks))
    )


def _rank(folder: Path) -> int:
    return MASK_NAMES.index(plain_name(folder.name))


def _match(images: Path, masks: Path) -> float:
    """Share of some of the images that have a mask of their name."""
    keys = {key for mask in images_below(masks, Passed()) for key in _keys(mask, masks, _MASK_ENDINGS)}
    some = list(islice(images_below(images, Passed()), _LOOKED_AT))
    return sum(any(k in keys for k in _keys(i, images, _IMAGE_ENDINGS)) for i in some) / len(some) if some else 0.0


def fit(one: Path, other: Path) -> bool:
    """Whether most of some of the images of two folders have the same names."""
    return _match(one, other) >= _LEAST_MATCH


def pairs_by_content(folders: Mapping[str, Path]) -> dict[str, FolderPair]:
    """By split the two folders below each of ``folders`` that hold pictures and masks, whatever they are called.

    They hold files of the same names, and those of one hold few values where those of the other do not.
    """
    found = {}
    for split, folder in folders.items():
        inner = [f for f in visible_folders(folder) if holds_images(f)]
        both = (FolderPair(*inner), FolderPair(*inner[::-1])) if len(inner) == 2 else ()
        if pair := next(filter(_are_masks, both), None):
            found[split] = pair
    return found if {"train", UNSPLIT} & set(found) else {}


def _are_masks(pair: FolderPair) -> bool:
    """Whether the second folder holds what seem masks of the pictures in the first."""
    if not fit(pair.images, pair.masks):
        return False
    images, masks = (list(islice(images_below(f, Passed()), _LOOKED_AT)) for f in (pair.images, pair.masks))
    return share_of_masks(masks) >= LEAST_SHARE_OF_MASKS and share_of_masks(images) <= 1 - LEAST_SHARE_OF_MASKS


def _split_below(folder: Path) -> dict[str, Path]:
    return {split: f for f in visible_folders(folder) if (split := split_named(f.name))}


def _sibling_pair(folder: Path, folders: list[Path]) -> FolderPair | None:
    """``train`` beside ``train_masks``, ``trainannot`` or ``train_labels``."""
    found = [
        other
        for other in folders
        if other.name.lower().startswith(folder.name.lower())
        and plain_name(other.name[len(folder.name) :]) in MASK_FOLDERS
        and holds_images(other)
    ]
    return FolderPair(folder, found[0]) if found else None


def _prefixed_pairs(folders: list[Path]) -> dict[str, FolderPair]:
    """``train_images`` beside ``train_masks``."""
    named: dict[tuple[str, bool], Path] = {}
    for folder in folders:
        first, _, rest = folder.name.lower().replace("-", "_").partition("_")
        split, kind = split_named(first), plain_name(rest)
        if split and (kind in IMAGE_FOLDERS or kind in MASK_FOLDERS) and holds_images(folder):
            named[split, kind in MASK_FOLDERS] = folder
    return {
        split: FolderPair(images, named[split, True])
        for (split, is_mask), images in named.items()
        if not is_mask and (split, True) in named
    }


def match_masks(pair: FolderPair, passed: Passed) -> Pairs:
    """Images and masks of equal stem (below their folders), endings such as ``_mask`` left aside.

    Several masks that are numbered (``x_mask_1``, ``x_mask_2``) are joined into one.

    Raises:
        DataError: If two masks of one name fit one image.
    """
    if pair.images == pair.masks:
        return _match_beside(pair.images, passed)
    masks: dict[str, list[Path]] = {}
    for mask in images_below(pair.masks, passed):
        for key in _keys(mask, pair.masks, _MASK_ENDINGS):
            held = masks.get(key)
            if held and held[0].stem.lower() == mask.stem.lower():
                raise DataError(f"{held[0]} and {mask} are masks of one image. Remove one of them.")
            if not held or key == _key(mask, pair.masks):  # an exact stem counts more than a shortened one
                masks[key] = [mask]
            elif _MASK_NUMBER.search(composed(mask.stem)) and held[0].stem.lower() != key:
                held.append(mask)
    records, alone, used = [], [], set()
    for image in images_below(pair.images, passed):
        key = next((k for k in _keys(image, pair.images, _IMAGE_ENDINGS) if k in masks), None)
        if key is None:
            alone.append(image)
        else:
            records.append(Record(image, joined(masks[key])))
            used.update(masks[key])
    left = sorted({mask for several in masks.values() for mask in several} - used)
    return Pairs(tuple(records), tuple(alone), tuple(left))


def _match_beside(folder: Path, passed: Passed) -> Pairs:
    """Masks that lie in the folder of their pictures."""
    files = list(images_below(folder, passed))
    beside = masks_beside(files)
    masks = {mask for several in beside.values() for mask in several}
    records = [Record(picture, joined(several)) for picture, several in sorted(beside.items())]
    return Pairs(tuple(records), tuple(f for f in files if f not in beside and f not in masks), ())


def _key(path: Path, root: Path) -> str:
    return composed(path.relative_to(root).with_suffix("").as_posix()).lower()


def _keys(path: Path, root: Path, endings: tuple[str, ...]) -> Iterator[str]:
    """The stem below ``root``, then without each ending that it has, with a number or without."""
    key = _key(path, root)
    yield key
    bare = _MASK_NUMBER.sub(r"\1", key) if endings is _MASK_ENDINGS else key
    for ending in endings:
        if bare.endswith(ending) and len(path.stem) > len(ending):
            yield bare[: -len(ending)]


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
    lists = read_split_lists(root) if set(pairs) == {UNSPLIT} else None
    found = read_pairs(pairs, passed)
    if lists is not None:
        found = _divided(found[UNSPLIT], lists)
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
    where = "beside them" if first.images == first.masks else f"in {first.images.name}/ and {first.masks.name}/"
    if lists is not None and UNSPLIT not in records:
        where += f", divided by {_listed_in(lists.folder, root)} into {', '.join(records)}"
    elif UNSPLIT not in records:
        where += f" in {', '.join(records)}"
    source = with_classes(root, records, options, progress, words=f"images with masks {where}")
    notices = (*source.notices, *passed.notices(), *_about_unused(root, pairs))
    return replace(source, notices=notices, problems=(*problems, *source.problems))


def _listed_in(folder: Path, root: Path) -> str:
    return "its lists" if folder == root else f"{folder.relative_to(root).as_posix()}/"


def _divided(found: Pairs, lists: SplitLists) -> dict[str, Pairs]:
    """The records by the lists that name them; what no list names is left out, as the lists mean it."""
    by_split: dict[str, list[Record]] = {}
    for record in found.records:
        split = lists.split_of(record.image)
        if split is not None:
            by_split.setdefault(split, []).append(record)
    if not by_split.get("train"):
        return {UNSPLIT: found}
    listed_alone = tuple(p for p in found.images_alone if lists.split_of(p) is not None)
    out = {split: Pairs(tuple(rows), (), ()) for split, rows in by_split.items()}
    out["train"] = replace(out["train"], images_alone=listed_alone)
    return out


def _about_unused(root: Path, pairs: Mapping[str, FolderPair]) -> list[Notice]:
    """Folders beside those of images and masks that hold labels of another kind."""
    used = {f for pair in pairs.values() for f in (pair.images, pair.masks)}
    if UNSPLIT not in pairs or root in used:
        return []
    out = []
    for folder in visible_folders(root):
        if folder in used or split_named(folder.name) or folder.name == SPLIT_LISTS or folder in _parents(used):
            continue
        files = visible_files(folder)
        kinds = Counter(f.suffix.lower() for f in files)
        if kinds:
            (suffix, count) = kinds.most_common(1)[0]
            out.append(f"{folder.name}/ ({count} {suffix or 'without suffix'})")
    return [Notice(f"Not used: {', '.join(out)}.")] if out else []


def _parents(folders: Iterable[Path]) -> set[Path]:
    return {parent for folder in folders for parent in folder.parents}


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
        words=f"{words}, {decided.words}: {len(decided.names)} classes ({some(decided.names)})",
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
