"""``auto`` without anything known: a trial of seconds decides, the run says so, and the network is as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.precision import variant_name
from fine_tuner.runs.log.events import RunStarted, WorkProgress
from fine_tuner.speeds import TRIAL, fastest, read_speeds, remember
from fine_tuner.tasks.build import assemble, build_data, subject_of
from fine_tuner.tasks.precision_trial import FEWEST_STEPS, WHAT, open_variants

from .conftest import payloads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path / "cache"))


def settings(*overrides: str) -> Any:
    tiny = ("data.image_size=32", "data.num_workers=0", "devices=cpu", "model.weights=none")
    return replace(load_preset("sample"), *tiny, *overrides)


def test_a_trial_decides_and_leaves_the_network_as_without_it() -> None:
    chosen = settings()
    data = build_data(chosen)
    with assemble(replace(chosen, "precision.dtype=fp32", "precision.channels_last=off"), data) as plain:
        drawn = torch.rand(3)
    with assemble(chosen, data, may_measure=True) as tried:
        assert torch.equal(torch.rand(3), drawn), "the trial draws no random number of the run"
    for (name, before), after in zip(plain.model.state_dict().items(), tried.model.state_dict().values(), strict=True):
        assert torch.equal(before, after), name
    known = read_speeds(subject_of(chosen, tried.built, CPU))
    speeds = {name.removeprefix(f"{TRIAL}:"): numbers["images_per_second"] for name, numbers in known.items()}
    assert list(speeds) == [variant_name(dtype, is_channels_last=last) for dtype, last in open_variants(CPU, "auto")]
    best = fastest(speeds)
    assert best is not None
    assert (tried.precision.dtype, tried.precision.is_channels_last) == (best.dtype, best.is_channels_last)
    assert "measured here" in tried.precision_choice.reason


def test_a_run_too_short_to_gain_computes_in_fp32_and_says_why() -> None:
    chosen = settings("train.epochs=1", "train.batch_size=64")
    with assemble(chosen, build_data(chosen), may_measure=True) as assembly:
        assert assembly.total_steps < FEWEST_STEPS
        assert (assembly.precision.dtype, assembly.precision.is_channels_last) == ("fp32", False)
        assert f"{assembly.total_steps} steps are too few" in assembly.precision_choice.reason
        assert read_speeds(subject_of(chosen, assembly.built, CPU)) == {}


@pytest.mark.parametrize("layout", ["on", "off"])
def test_a_memory_format_that_was_set_is_the_only_one_tried(layout: str) -> None:
    assert {is_last for _, is_last in open_variants(CPU, layout)} == {layout == "on"}
    assert open_variants(CPU, layout)[0][0] == "fp32"


@pytest.mark.slow
def test_the_run_says_what_was_measured_and_the_next_does_not_measure_again(
    train_here: Callable[..., Path], tiny_settings: tuple[str, ...]
) -> None:
    measured = ("precision.dtype=auto", "precision.channels_last=auto")
    longer = (*tiny_settings, *measured, "train.epochs=16", "train.keep_checkpoints=1")
    run = train_here(*longer)
    (started,) = payloads(run, RunStarted)
    (said,) = [notice for notice in started.facts["notices"] if "the fastest measured here" in notice]
    chosen = variant_name(started.facts["precision"], is_channels_last=started.facts["is_channels_last"])
    assert f"Computes in {chosen}" in said
    again = train_here(*longer, "train.epochs=2", runs="again")
    (repeated,) = payloads(again, RunStarted)
    assert repeated.facts["precision"] == started.facts["precision"]
    assert not [p for p in payloads(again, WorkProgress) if p.what == WHAT]


def test_what_a_person_measured_comes_before_a_trial() -> None:
    chosen = settings()
    data = build_data(chosen)
    with assemble(chosen, data, outline=True) as assembly:
        subject = subject_of(chosen, assembly.built, CPU)
        assert "until the first seconds of a run have measured" in assembly.precision_choice.reason
    for kind, half in ((f"{TRIAL}:", 1.0), ("", 3.0)):
        remember(subject, f"{kind}fp32", images_per_second=2.0)
        remember(subject, f"{kind}bf16 channels-last", images_per_second=half)
    with assemble(chosen, data, outline=True) as assembly:
        assert (assembly.precision.dtype, assembly.precision.is_channels_last) == ("bf16", True)
