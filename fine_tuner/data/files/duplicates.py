"""Pictures that are there twice: the same bytes, or the same to the eye (scaled, saved again, brightened).

A picture is compared by its thumb: 24 x 24 grey levels, mean taken out, scaled to unit length. The product of two such
vectors is their correlation; one matrix product compares all with all.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fine_tuner.data.files.folders import Progress
from fine_tuner.data.files.image_scan import thumbs_of
from fine_tuner.data.files.scan_cache import Fact, facts_about

# Measured on 1,400 photographs, micrographs and drawings: saved again at half the size and JPEG quality 30, a picture
# keeps a correlation of 0.96 or more with itself (median 0.998); two different ones reach 0.84 at most, the same scene
# photographed again 0.98.
_ALIKE = 0.96
_MIN_CONTRAST = 4.0  # grey levels of standard deviation; flatter pictures all look alike
_MAX_SHAPE_CHANGE = 1.05  # of width over height
_BLOCK = 2048


@dataclass(frozen=True)
class Twins:
    """Two files that show the same picture.

    Attributes:
        first: Index in the list compared.
        second: A larger index.
        is_exact: The files are equal, byte for byte.
    """

    first: int
    second: int
    is_exact: bool


def find_twins(paths: Sequence[Path], facts: Mapping[Path, Fact], progress: Progress) -> list[Twins]:
    """All pairs of readable images that are equal or nearly so, in order; of three alike, the pairs with the first."""
    exact = _equal_files(paths, progress)
    readable = [i for i, path in enumerate(paths) if "error" not in facts[path]]
    near = _alike(readable, [facts[paths[i]] for i in readable], progress)
    pairs = {**dict.fromkeys(near, False), **dict.fromkeys(exact, True)}
    return [Twins(a, b, is_exact) for (a, b), is_exact in sorted(pairs.items())]


def _equal_files(paths: Sequence[Path], progress: Progress) -> list[tuple[int, int]]:
    """Pairs (first of the group, other) of files with equal content; only files of equal size are read."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        try:
            by_size[path.stat().st_size].append(i)
        except OSError:
            continue
    suspects = [i for group in by_size.values() if len(group) > 1 for i in group]
    digests = facts_about(
        [paths[i] for i in suspects], _digest, kind="digest 1", what="Comparing files", progress=progress
    )
    groups: dict[str, list[int]] = defaultdict(list)
    for i, fact in zip(suspects, digests, strict=True):
        if fact["digest"]:
            groups[fact["digest"]].append(i)
    return [(group[0], other) for group in groups.values() for other in group[1:]]


def _digest(path: Path) -> Fact:
    try:
        with path.open("rb") as file:
            return {"digest": hashlib.file_digest(file, "blake2b").hexdigest()}
    except OSError:
        return {"digest": ""}


def _alike(indices: Sequence[int], facts: Sequence[Fact], progress: Progress) -> list[tuple[int, int]]:
    thumbs = thumbs_of(facts).astype(np.float32)
    deviations = thumbs.std(1)
    distinct = np.flatnonzero(deviations >= _MIN_CONTRAST)
    vectors = thumbs[distinct] - thumbs[distinct].mean(1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shapes = np.array([fact["size"][0] / fact["size"][1] for fact in facts])[distinct]
    pairs, has_first = [], np.zeros(len(distinct), bool)
    for start in range(0, len(distinct), _BLOCK):
        block = vectors[start : start + _BLOCK]
        rows, columns = np.nonzero(block @ vectors[start:].T >= _ALIKE)
        for row, column in zip((rows + start).tolist(), (columns + start).tolist(), strict=True):
            ratio = shapes[row] / shapes[column]
            if row < column and not has_first[row] and 1 / _MAX_SHAPE_CHANGE <= ratio <= _MAX_SHAPE_CHANGE:
                has_first[column] = True
                pairs.append((indices[distinct[row]], indices[distinct[column]]))
        progress("Comparing pictures", min(start + _BLOCK, len(distinct)), len(distinct))
    return pairs
