"""Splits in which every label is as frequent as in the whole, where an image may have any number of labels."""

from __future__ import annotations

import numpy as np


def choose_by_labels(labels: np.ndarray, sizes: np.ndarray, share: float) -> list[int]:
    """Which units to keep for validation, so that each label gives ``share`` of its images.

    The rarest label first: each of its units goes to the split that lacks most of that label. A label of at least two
    units is in both splits.

    Args:
        labels: ``(U, K)``: how many images of each unit have each label.
        sizes: ``(U,)``: images of each unit. Units are given in the order in which they are to be drawn.
        share: Of validation, between 0 and 1.

    Returns:
        Positions of the chosen units, ascending.

    Source: Sechidis et al. 2011, algorithm 1, https://doi.org/10.1007/978-3-642-23808-6_10. Differs: ties are broken by
    the order of the units, so that another seed gives another split; and no label with two units is missing in a split.
    """
    totals, units = labels.sum(0).astype(float), (labels > 0).sum(0)
    in_val = np.where(units >= 2, np.clip(share * totals, 1.0, np.maximum(totals - 1.0, 0.0)), share * totals)
    lacking = np.stack([totals - in_val, in_val])  # (2, K): train, val
    room = np.array([(1 - share) * sizes.sum(), share * sizes.sum()])
    split = np.full(len(sizes), -1)

    def place(unit: int, lacks: np.ndarray) -> None:
        best = int(lacks[1] > lacks[0]) if lacks[0] != lacks[1] else int(room[1] > room[0])
        split[unit] = best
        lacking[best] -= labels[unit]
        room[best] -= sizes[unit]

    while (left := (labels[split < 0] > 0).sum(0)).any():
        rarest = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for unit in np.flatnonzero((split < 0) & (labels[:, rarest] > 0)):
            place(int(unit), lacking[:, rarest])
    for unit in np.flatnonzero(split < 0):  # without any label
        place(int(unit), room)
    return np.flatnonzero(split == 1).tolist()
