"""Choosing by measurement, on the sample: precisions compared, the largest batch found, and what the plan says then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.cli.main import main
from fine_tuner.losses.verdicts import ALLOW_VARIABLE
from fine_tuner.planning.batch_finder import split_batch

TINY = ["sample", "train.batch_size=4", "data.num_workers=0"]


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[dict[str, Any], str]:
    assert main([*argv, "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out.splitlines()[-1]), err


def test_precisions_are_compared_remembered_and_taken_by_auto(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (cache_folder() / "speeds.sqlite").unlink(missing_ok=True)
    before, _ = answer(capsys, "plan", *TINY)
    assert before["seconds_estimate"] is None
    assert "has not trained" in before["seconds_words"]
    result, told = answer(capsys, "compare-precisions", *TINY, "devices=cpu", "--steps", "1")
    variants = [row["variant"] for row in result["rows"]]
    assert variants == ["fp32", "fp32 channels-last", "bf16", "bf16 channels-last"]
    assert all(row["images_per_second"] > 0 and row["peak_mib"] > 50 for row in result["rows"])
    assert json.loads(told.splitlines()[-1]) == {"progress": "bf16 channels-last", "done": 12, "total": 12}
    assert result["fastest"] in variants
    after, _ = answer(capsys, "plan", *TINY, "devices=cpu", "precision.dtype=auto")
    assert after["precision"] == result["suggestion"]["precision.dtype"]
    assert after["is_channels_last"] == (result["suggestion"]["precision.channels_last"] == "on")
    assert "measured here" in after["precision_reason"]
    assert after["seconds_estimate"] > 0


def test_where_no_precision_fits_it_is_said_of_each_and_nothing_is_suggested(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    (tmp_path / "huge.py").write_text("def huge(output, target):\n    return output.new_empty(10**16).sum()\n")
    own = ["loss.name=custom", f"loss.file={tmp_path / 'huge.py'}", "loss.unchecked=true"]
    result, _ = answer(capsys, "compare-precisions", *TINY, *own, "devices=cpu", "--steps", "1")
    assert [(row["problem"], row["images_per_second"]) for row in result["rows"]] == [("out of memory", None)] * 4
    assert (result["fastest"], result["suggestion"]) == (None, None)
    assert result["words"].startswith("No precision fits into memory. Choose a smaller train.batch_size")


def test_a_plan_may_time_a_few_steps_and_then_knows_the_time_and_what_goes_into_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path))
    asked = ["plan", *TINY, "devices=cpu", "precision.dtype=fp32", "precision.channels_last=off"]
    timed, _ = answer(capsys, *asked, "--measure")
    assert "from a few measured steps" in timed["seconds_words"]
    again, _ = answer(capsys, *asked)
    images = 3 * 512
    assert again["seconds_words"].startswith("about")
    short, _ = answer(capsys, *asked, "train.epochs=null", f"train.minutes={1 / 6000}")  # 0.01 s
    (epochs,) = [choice for choice in short["chosen"] if choice["path"] == "train.epochs"]
    assert epochs["value"] == 1, "on a processor too, a measured pace bounds the epochs"
    pace = float(epochs["reason"].rpartition("at ")[2].removesuffix(" images/s"))
    if not again["busy"]:
        assert again["seconds_estimate"] == pytest.approx(images / pace, rel=0.02)
    else:
        assert again["seconds_estimate"] > images / pace


def test_the_largest_batch_is_found_and_split_into_a_wanted_one(capsys: pytest.CaptureFixture[str]) -> None:
    result, told = answer(capsys, "find-batch", *TINY, "devices=cpu", "--global-batch", "700")
    assert result["largest_batch_size"] == 512, "all training images of the sample fit"
    assert result["suggestion"] == {"train.batch_size": 350, "train.accumulate": 2}
    assert "64 images" in told
    (tried,) = result["tried"]
    assert tried["peak_mib"] == pytest.approx(tried["forecast_mib"], rel=0.1)


@pytest.mark.parametrize(
    ("largest", "wanted", "expected"),
    [(100, 256, (86, 3)), (100, 64, (64, 1)), (100, None, (96, 1)), (7, None, (7, 1)), (0, 32, (0, 1))],
)
def test_a_wanted_batch_is_split_evenly_and_covered(largest: int, wanted: int | None, expected: tuple) -> None:
    batch_size, accumulate = split_batch(largest, wanted)
    assert (batch_size, accumulate) == expected
    assert largest == 0 or batch_size <= largest
    if wanted and largest:
        assert batch_size * accumulate >= wanted


def test_a_plan_tells_parts_limit_and_the_other_precision(capsys: pytest.CaptureFixture[str]) -> None:
    plan, _ = answer(capsys, "plan", *TINY, "devices=cpu", "data.image_size=128")
    memory, other = plan["memory"], plan["memory"]["other"]
    assert memory["fits"]
    assert (memory["dtype"], other["dtype"]) == ("fp32", "bf16")
    assert memory["parts"]["total"] == pytest.approx(sum(v for k, v in memory["parts"].items() if k != "total"), abs=1)
    assert other["parts"]["activations"] < memory["parts"]["activations"]
    assert memory["total_mib"] < memory["limit_mib"]


def test_what_fits_only_with_activations_made_again_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    large = ["sample", "model.weights=none", "data.image_size=2048", "devices=cpu"]
    plan, _ = answer(capsys, "plan", *large, "train.batch_size=512")
    fitting = plan["memory"]["largest_batch_size"]
    plan, _ = answer(capsys, "plan", *large, f"train.batch_size={fitting + 1}")
    assert "Or turn train.checkpoint_activations on: about" in plan["memory"]["words"]
    plan, _ = answer(capsys, "plan", *large, f"train.batch_size={fitting + 1}", "train.checkpoint_activations=true")
    assert plan["memory"]["fits"]
    assert plan["memory"]["largest_batch_size"] > 1.4 * fitting  # on a CPU, where what is made again scatters


def test_activations_are_not_made_again_in_a_compiled_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sample", "train.checkpoint_activations=true", "precision.compile=true"]) == 2
    assert "train.checkpoint_activations: Does not go with precision.compile=true." in capsys.readouterr().err


def test_what_cannot_fit_is_planned_with_the_remedy_and_refused_by_train(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    huge = ["sample", "model.name=vgg16", "data.image_size=2048", "train.batch_size=512", "devices=cpu"]
    huge.append("model.weights=none")
    plan, _ = answer(capsys, "plan", *huge)
    assert plan["memory"]["fits"] is False
    assert "Does not fit. 512 images would take about" in plan["memory"]["words"]
    assert f"Choose at most {plan['memory']['largest_batch_size']}" in plan["memory"]["words"]
    assert main(["train", *huge, "--runs", str(tmp_path)]) == 2
    assert "train.batch_size" in capsys.readouterr().err
