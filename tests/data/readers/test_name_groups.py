"""Which names belong together: frames of one recording, photographs of one patient."""

from __future__ import annotations

import pytest

from fine_tuner.data.readers.name_groups import group_of


@pytest.mark.parametrize(
    ("stem", "group"),
    [("video0_frame03", "video0"), ("P007-2", "p007"), ("vid3 (2)", "vid3"), ("P3_frame2_left", "p3"),
     ("rec.4.11", "rec.4"), ("patient012-slice4", "patient012"), ("17", None), ("leaf", None)],
)  # fmt: skip
def test_group_is_the_name_without_the_number_of_the_picture(stem: str, group: str | None) -> None:
    assert group_of(stem) == group
