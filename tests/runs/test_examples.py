"""Which validations of the example pictures stay in a run's folder."""

from __future__ import annotations

from itertools import pairwise

from fine_tuner.runs.examples import MOST_VALIDATIONS, Examples, ExampleValidation


def test_of_a_long_run_stay_as_many_validations_as_fit_evenly_over_its_epochs_and_the_newest(tmp_path):
    examples = Examples(tmp_path)
    for epoch in range(1, 1004):
        validation = ExampleValidation(step=7 * epoch, epoch=epoch)
        for path in (examples.said(validation), examples.said_masks(validation)):
            path.write_text("{}")
        examples.thin_out()
    kept = examples.validations()
    assert len(kept) <= MOST_VALIDATIONS < 2 * len(kept)
    assert kept[-1] == ExampleValidation(step=7 * 1003, epoch=1003)
    apart = {b.epoch - a.epoch for a, b in pairwise(kept[:-1])}
    assert len(apart) == 1
    assert {path.stem for path in tmp_path.glob("*.png")} == {one.name for one in kept}
    assert examples.find(kept[3].name) == kept[3]
    assert examples.find("epoch-0001-step-00000007") is None


def test_what_is_no_validation_is_not_listed(tmp_path):
    for name in (
        "epoch-1-step-2.json",
        "epoch-0001-step-00000002.json.tmp",
        "about.json",
        "epoch-0001-step-00000002.png",
    ):
        (tmp_path / name).touch()
    assert Examples(tmp_path).validations() == []
    assert Examples(tmp_path).read() is None
