"""Which names belong together: frames of one recording, photographs of one patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.data.readers.name_groups import group_of
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]


def draw(root: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        file = root / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)


def are_apart(data: DataSplits, group: Callable[[Path], str]) -> bool:
    """Whether no group is in train and in val, and both hold some."""
    train, val = ({group(r.image) for r in data.splits[split]} for split in ("train", "val"))
    return bool(train) and bool(val) and train.isdisjoint(val)


@pytest.mark.parametrize(
    ("stem", "group"),
    [("video0_frame03", "video0"), ("P007-2", "p007"), ("vid3 (2)", "vid3"), ("P3_frame2_left", "p3"),
     ("rec.4.11", "rec.4"), ("patient012-slice4", "patient012"), ("17", None), ("leaf", None)],
)  # fmt: skip
def test_group_is_the_name_without_the_number_of_the_picture(stem: str, group: str | None) -> None:
    assert group_of(stem) == group


@pytest.mark.parametrize("variant", ["_rot", "_flip2", " - Copy", " (1)", "-aug_3", ".bright"])
def test_pictures_named_after_another_are_said_and_kept_with_it_by_choice(
    tmp_path: Path, read: Read, variant: str
) -> None:
    originals = [f"{c}/{word}{c}" for c in "ab" for word in ("oak", "elm", "ash", "fir", "yew", "bay", "box", "fig")]
    draw(tmp_path, [name + end for name in originals for end in ("", variant)])
    (said,) = [n for n in read(tmp_path).notices if n.code == "name_variants"]
    assert said.text.startswith("16 pictures named after another one")
    assert said.remedies[0].settings == {"data.group_by_name": True}
    assert not are_apart(read(tmp_path), lambda image: image.stem[:4])
    assert are_apart(read(tmp_path, group_by_name=True), lambda image: image.stem[:4])


def test_folders_of_patients_below_the_classes_are_kept_together_by_choice(tmp_path: Path, read: Read) -> None:
    draw(tmp_path, [f"{c}/patient {c}{p}/{i}" for c in ("ill", "well") for p in range(5) for i in range(4)])
    (said,) = [n for n in read(tmp_path).notices if n.code == "nested_folders"]
    assert {"data.group_by_name": True} in [remedy.settings for remedy in said.remedies]
    assert not are_apart(read(tmp_path), lambda image: image.parent.name)
    assert are_apart(read(tmp_path, group_by_name=True), lambda image: image.parent.name)


def test_a_table_over_parts_of_a_set_is_grouped_by_names_not_by_the_parts(tmp_path: Path, read: Read) -> None:
    names = [f"part{i % 2}/video{i // 4}_frame{i % 4}" for i in range(40)]
    draw(tmp_path, names)
    rows = "\n".join(f"{name}.png,{'ab'[i // 4 % 2]}" for i, name in enumerate(names))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}\n")
    assert are_apart(read(tmp_path, group_by_name=True), lambda image: image.stem.split("_")[0])
