"""Masks that number the objects of each picture (1, 2, 3, ...) instead of naming their class: asked about, or said.

What tells them is how many values there are and in which files, and what their regions are like: an object is one
connected region, and the third of one picture lies elsewhere than the third of the next. Organs, or the layers of a
retina, are connected as well, but each has its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, pstdev

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted
from fine_tuner.data.files.images import load_mask
from fine_tuner.data.files.scan_cache import Fact, facts_about
from fine_tuner.data.notices import MendableError, Notice, Remedy

_VOID = 255
_MANY_OBJECTS = 8  # fewer numbers may as well be classes, if nothing is known of their regions
_FEW_OBJECTS = 3
_LOOKED_AT = 32  # masks whose regions are looked at
_MOST_VALUES = 300
_MOST_COLOURS = 200  # in one file; more are a photograph's
_ALMOST_ALL = 0.95
_ELSEWHERE = 0.15  # spread of a value's place from file to file, in parts of the width; of places at random 0.29
_ALMOST_BLACK = 0x010101  # of all colours but black the nearer one


def ask_if_instances(
    masks: Mapping[Path, set[int]], *, is_colours: bool, num_names: int, progress: OnProgress = no_progress
) -> list[Notice]:
    """Nothing, or what there is to say, where masks may number objects.

    Args:
        masks: The values of each, without those that are ignored.
        is_colours: They are ``0xRRGGBB``.
        num_names: Of classes that are known: as many names as values are classes.
        progress: As everywhere.

    Raises:
        MendableError: If they look so.
    """
    objects = {path: values - {0, _VOID} for path, values in masks.items()}
    objects = {path: values for path, values in objects.items() if values}
    values = sorted(set().union(*masks.values()))
    num_values = len(set().union(*objects.values())) if objects else 0
    if num_values < 2 or num_names >= num_values:
        return []
    lengths = sorted({len(s) for s in objects.values()})
    counted_up = sum(s == set(range(1, len(s) + 1)) for s in objects.values()) >= 0.9 * len(objects)
    own_share = num_values / sum(map(len, objects.values()))
    are_own = own_share > 2 / 3 and len(objects) > 1
    learned = Remedy(
        "learn objects against background",
        {"data.mask_values": [0, _ALMOST_BLACK if is_colours else 1], "data.mask_unknown": "nearest"},
    )
    choices = (learned, Remedy("take each value for a class all the same", {"data.mask_values": list(values)}))
    what = "colours" if is_colours else "values"
    in_each = f"{num_values} {what}, in each file {lengths[0]} to {lengths[-1]} of them"
    many = num_values >= _MANY_OBJECTS and not is_colours
    if many and counted_up and (len(lengths) > 1 or len(objects) == 1):
        raise MendableError(f"{_NUMBERED}: {in_each}, counted from 1.", remedies=choices)
    if are_own and num_values >= 2 * _MANY_OBJECTS and not (is_colours and lengths[-1] > _MOST_COLOURS):
        raise MendableError(f"{_NUMBERED}: {in_each}, hardly one of them in two files.", remedies=choices)
    with_ground = sum(0 in s for s in masks.values()) >= 0.9 * len(masks)
    if is_colours or not with_ground or not (counted_up or are_own):
        return []
    num_looked, places = _places(sorted(objects), progress)
    if not places:
        return []
    evidence = f"{in_each}; in {counted(num_looked, 'mask')} looked at, each value is one connected region"
    if are_own and num_values >= _FEW_OBJECTS:
        raise MendableError(f"{_NUMBERED}: {evidence}, and hardly one is in two files.", remedies=choices)
    if not counted_up:
        return []
    spreads = [pstdev(xs) for xs in places.values() if len(xs) >= 3]
    if num_values >= _FEW_OBJECTS and spreads and median(spreads) > _ELSEWHERE:
        raise MendableError(f"{_NUMBERED}: {evidence}, in another place in each.", remedies=choices)
    text = f"The masks may number objects: {evidence}. Each value is taken for a class."
    return [Notice(text, "note", (learned,), "regions")]


_NUMBERED = "The masks number objects, it seems, not classes"


def _places(paths: Sequence[Path], progress: OnProgress) -> tuple[int, dict[str, list[float]]]:
    """How many masks were looked at, and by value its places in them; nothing if values are not single regions."""
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).round().astype(int)).tolist()]
    facts = facts_about(chosen, look_at_regions, kind="regions 1", what="Looking at regions", progress=progress)
    regions = [(value, *found) for fact in facts for value, found in fact.items()]
    if not regions or sum(num == 1 for _, num, _ in regions) < _ALMOST_ALL * len(regions):
        return len(chosen), {}
    places = defaultdict(list)
    for value, _, place in regions:
        places[value].append(place)
    return len(chosen), dict(places)


def look_at_regions(path: Path) -> Fact:
    """By value but 0 and 255: how many connected regions it has, and where its middle is, in parts of the width."""
    from scipy import ndimage  # late: the app's process reads data seldom and starts often

    try:
        mask = load_mask(path)
    except DataError:
        return {}
    if mask.ndim == 3:
        return {}
    distinct = [v for v in np.unique(mask).tolist() if v not in (0, _VOID)]
    if len(distinct) > _MOST_VALUES:
        return {}
    numbers = np.searchsorted(distinct, mask) + 1  # find_objects makes a list as long as the largest number
    numbers[~np.isin(mask, distinct)] = 0
    found: Fact = {}
    for number, (value, box) in enumerate(zip(distinct, ndimage.find_objects(numbers), strict=True), start=1):
        _, num_regions = ndimage.label(numbers[box] == number, structure=np.ones((3, 3)))
        columns = box[1]
        found[str(value)] = [num_regions, (columns.start + columns.stop) / 2 / mask.shape[1]]
    return found
