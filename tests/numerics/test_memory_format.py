"""Channels last and the choice by measurement: what is arranged in memory, what a run keeps, what ``auto`` takes."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from fine_tuner import speeds
from fine_tuner.precision import Measured, Precision, choose_precision, compile_network, compile_problem

from .conftest import assert_same, make_network

CPU = torch.device("cpu")
SUBJECT = speeds.Subject(network="resnet18", image_size=64, trainable="all", batch_size=8, device="CPU")


def test_channels_last_arranges_weights_and_images_and_changes_no_result() -> None:
    model, plain = make_network(), make_network()
    Precision("fp32", CPU, is_channels_last=True).arrange(model)
    seen = []
    model[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(model(images), plain(images))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_run_in_channels_last_is_resumed_bit_for_bit(make_trainer: Any) -> None:
    def trainer() -> Any:
        model = make_network(0.2)
        Precision("fp32", CPU, is_channels_last=True).arrange(model)
        return make_trainer(model=model, epochs=2)

    whole, first, second = trainer(), trainer(), trainer()
    torch.manual_seed(3)  # dropout draws from it
    whole.train()
    first.learner.epochs = 1
    torch.manual_seed(3)
    first.train()
    first.learner.epochs = 2
    second.learner.model.load_state_dict(first.learner.model.state_dict())
    second.load_state_dict(first.state_dict())
    second.train()
    assert_same(whole.learner.model, second.learner.model)


def test_what_was_measured_decides_auto_and_nothing_else() -> None:
    measured = Measured(dtype="fp32", is_channels_last=True, images_per_second=150.0, fp32_per_second=100.0)
    chosen = choose_precision("auto", CPU, channels_last="auto", measured=measured)
    assert (chosen.dtype, chosen.is_channels_last) == ("fp32", True)
    assert "1.50 times the speed of fp32" in chosen.reason
    assert choose_precision("bf16", CPU, channels_last="off", measured=measured).is_channels_last is False
    assert choose_precision("bf16", CPU, channels_last="auto", measured=measured).is_channels_last is False


@pytest.mark.parametrize(
    ("half_speed", "expected"), [(102.0, ("fp32", False)), (150.0, ("bf16", True))]
)  # within 3 % nothing is gained
def test_the_fastest_measured_is_remembered_for_its_subject(
    half_speed: float, expected: tuple[str, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path))
    assert speeds.known_fastest(SUBJECT) is None
    speeds.remember(SUBJECT, "fp32", images_per_second=100.0)
    speeds.remember(SUBJECT, "bf16 channels-last", images_per_second=half_speed)
    speeds.remember(SUBJECT, "run:fp32", images_per_second=999.0)
    best = speeds.known_fastest(SUBJECT)
    assert best is not None
    assert (best.dtype, best.is_channels_last) == expected
    other = speeds.Subject(network="resnet18", image_size=64, trainable="all", batch_size=9, device="CPU")
    assert speeds.known_fastest(other) is None, "another batch size is another measurement"


def test_a_run_on_a_busy_machine_replaces_no_faster_pace_and_a_trial_is_believed_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path))

    def expected_after(images_per_second: float, crowding: float) -> tuple[float, str] | None:
        speeds.remember_run(SUBJECT, "run:fp32", images_per_second=images_per_second, crowding=crowding)
        return speeds.expected_speed(speeds.read_speeds(SUBJECT), "run:fp32", "fp32")

    busy = "at the pace of a run of this network here while the machine was busy"
    assert expected_after(10.0, 3.0) == (10.0, busy)
    speeds.remember(SUBJECT, "trial:fp32", images_per_second=40.0)
    assert expected_after(12.0, 2.0) == (40.0, speeds.FROM_STEPS)
    quiet = "at the pace of the last run of this network here"
    assert expected_after(30.0, 1.0) == (30.0, quiet)
    assert expected_after(11.0, 4.0) == (30.0, quiet), "other programs took its time"
    assert expected_after(25.0, 1.0) == (25.0, quiet), "it has become slower by itself"


def test_without_a_compiler_the_network_runs_uncompiled_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "C++ compiler" in str(compile_problem(CPU))
    model = nn.Linear(2, 1)
    assert compile_network(model, CPU) == compile_problem(CPU)
    assert model(torch.zeros(1, 2)).shape == (1, 1)


def test_whoever_measures_at_once_all_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path))
    names = [f"variant {i}" for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: speeds.remember(SUBJECT, name, images_per_second=1.0), names))
    assert sorted(speeds.read_speeds(SUBJECT)) == sorted(names)


def test_the_longest_forgotten_subject_makes_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path))
    monkeypatch.setattr(speeds, "_MOST", 2)
    sizes = [dataclasses.replace(SUBJECT, image_size=size) for size in (32, 64, 96)]
    for subject in sizes:
        speeds.remember(subject, "fp32", images_per_second=1.0)
    assert [bool(speeds.read_speeds(subject)) for subject in sizes] == [False, True, True]
