"""The validation images have each label as often as all images do, and a patient's images stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fine_tuner.data.records import Record
from fine_tuner.data.splits import split_records

RATES = (0.5, 0.3, 0.1, 0.04, 0.015)


def _labelled(seed: int, count: int = 300, images_of_a_group: int = 1) -> list[Record]:
    """Images with labels of very different rates, the rarest on two units at least."""
    units = count // images_of_a_group
    labels = (np.random.default_rng(seed).random((units, len(RATES))) < RATES).astype(float)
    labels[:2, -1] = 1.0
    return [
        Record(Path(f"/set/{unit:03}-{image}.png"), tuple(labels[unit]), str(unit) if images_of_a_group > 1 else None)
        for unit in range(units)
        for image in range(images_of_a_group)
    ]


def _counts(records: tuple[Record, ...] | list[Record]) -> np.ndarray:
    return np.sum([record.target for record in records], 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.34])
def test_each_label_gives_its_share_of_images_to_validation(seed: int, share: float) -> None:
    records = _labelled(seed)
    train, val = split_records(records, val_fraction=share, seed=seed)
    assert len(train) + len(val) == len(records)
    assert len(val) == pytest.approx(share * len(records), abs=len(RATES))
    assert np.abs(_counts(val) - share * _counts(records)).max() <= 2
    assert _counts(val).min() >= 1
    assert _counts(train).min() >= 1


def test_groups_of_labelled_images_move_whole_and_keep_the_shares() -> None:
    records = _labelled(0, images_of_a_group=3)
    train, val = split_records(records, val_fraction=0.2, seed=0)
    assert not {r.group for r in train} & {r.group for r in val}
    assert np.abs(_counts(val) - 0.2 * _counts(records)).max() <= 2 * 3


def test_another_seed_draws_others_and_the_same_seed_the_same() -> None:
    records = _labelled(0)
    drawn = [split_records(records, val_fraction=0.2, seed=seed)[1] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
