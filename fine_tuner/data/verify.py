"""Leaving out of a source what cannot be decoded, does not fit its mask, or would be trained and validated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.duplicates import find_twins
from fine_tuner.data.files.folders import Progress
from fine_tuner.data.files.image_scan import scan_images
from fine_tuner.data.files.images import verify_quickly
from fine_tuner.data.files.scan_cache import facts_about
from fine_tuner.data.masks.values import look_at_mask
from fine_tuner.data.records import Record
from fine_tuner.data.source import UNSPLIT, Problem, Source

_REPORT_EVERY = 64
Size = tuple[int, int]


def verify(source: Source, *, thoroughly: bool, progress: Progress) -> tuple[Source, list[Problem]]:
    """``source`` without images that cannot be opened, and a problem for each.

    Args:
        source: As read.
        thoroughly: Decode every image, instead of looking at header and end of the file.
        progress: Called as ``progress(what, done, total)``.
    """
    images = [r.image for records in source.records.values() for r in records]
    sizes = _decoded_sizes(images, progress) if thoroughly else _header_sizes(images, progress)
    problems = [Problem("unreadable", found, image) for image, found in sizes.items() if isinstance(found, str)]
    kept = {
        split: tuple(r for r in records if not isinstance(sizes[r.image], str))
        for split, records in source.records.items()
    }
    if source.mask_coding is not None:
        problems += _mismatches(kept, sizes, progress)
    return replace(source, records=kept), problems


def _header_sizes(images: list[Path], progress: Progress) -> dict[Path, Size | str]:
    sizes: dict[Path, Size | str] = {}
    for done, image in enumerate(images, start=1):
        try:
            sizes[image] = verify_quickly(image)
        except DataError as error:
            sizes[image] = str(error)
        if done % _REPORT_EVERY == 0 or done == len(images):
            progress("Reading image headers", done, len(images))
    return sizes


def _decoded_sizes(images: list[Path], progress: Progress) -> dict[Path, Size | str]:
    facts = scan_images(images, progress)
    return {image: fact.get("error") or tuple(fact["size"]) for image, fact in facts.items()}


def _mismatches(
    records: Mapping[str, tuple[Record, ...]], sizes: Mapping[Path, Size | str], progress: Progress
) -> list[Problem]:
    """Masks of another size than their image; their facts are known already."""
    pairs = [(r.image, r.target) for rows in records.values() for r in rows if isinstance(r.target, Path)]
    facts = facts_about(
        [mask for _, mask in pairs], look_at_mask, kind="mask 1", what="Reading masks", progress=progress
    )
    out = []
    for (image, mask), fact in zip(pairs, facts, strict=True):
        if tuple(fact.get("size", sizes[image])) != sizes[image]:
            width, height = fact["size"]
            what = (
                f"Mask {mask} is {width} x {height} pixels, its image {image} is {sizes[image][0]} x {sizes[image][1]}."
            )
            out.append(Problem("size_mismatch", what, mask))
    return out


def leave_out_duplicates(source: Source, progress: Progress) -> tuple[Source, int]:
    """``source`` without those images of train that val or test holds as well; and how many those were.

    Where the data has no val split, all but one of several equal images are left out, whichever split they would get.
    """
    order = sorted(source.records, key=lambda split: split in ("train", UNSPLIT))  # of twins the first is kept
    images = [(split, r.image) for split in order for r in source.records[split]]
    paths = [image for _, image in images]
    twins = find_twins(paths, scan_images(paths, progress), progress)
    dropped = {
        paths[t.second]
        for t in twins
        if images[t.second][0] == UNSPLIT or (images[t.second][0] == "train" and images[t.first][0] != "train")
    }
    kept = {split: tuple(r for r in rows if r.image not in dropped) for split, rows in source.records.items()}
    return replace(source, records=kept), len(dropped)
