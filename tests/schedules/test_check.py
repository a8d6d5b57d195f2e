"""Parameters that make no sense for a run are explained at their field, with the range allowed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import parse
from fine_tuner.schedules import check_schedule

RUN = {"total_steps": 100, "steps_per_epoch": 10, "epochs": 10, "group_lrs": {"head": 1e-2, "backbone": 1e-3}}


def problems(**schedule: object) -> dict[str, str]:
    try:
        check_schedule(parse({"schedule": schedule}).schedule, **RUN)
    except ConfigError as error:
        return error.fields
    return {}


@pytest.mark.parametrize(
    ("schedule", "field", "message"),
    [
        ({"name": "StepLR", "warmup_steps": 100}, "warmup_steps", "100 steps leave nothing.*has 100. Choose 0 to 99"),
        ({"name": "MultiStepLR", "milestones": [7, 3]}, "milestones", "7, 3 are not in ascending order"),
        ({"name": "MultiStepLR", "milestones": [3, 3]}, "milestones", "3, 3 are not in ascending order"),
        ({"name": "MultiStepLR", "milestones": [3, 10]}, "milestones", "10 is past the end.*Choose epochs from 1 to 9"),
        (
            {"name": "MultiStepLR", "milestones": [8], "warmup_steps": 25},
            "milestones",
            "8 is past the end: the run has 10 epochs after 25 steps of warm-up. Choose epochs from 1 to 7",
        ),
        (
            {"name": "OneCycleLR", "total_steps": 99},
            "total_steps",
            "99 is less than the 100 steps.*Choose at least 100",
        ),
        ({"name": "OneCycleLR", "three_phase": True, "pct_start": 0.6}, "pct_start", "0.6 leaves no room.*at most 0.5"),
        ({"name": "OneCycleLR", "base_momentum": 0.97}, "base_momentum", "0.97 is above max_momentum 0.95"),
        ({"name": "CyclicLR", "base_momentum": 0.95}, "base_momentum", "0.95 is above max_momentum 0.9"),
        (
            {"name": "CyclicLR", "base_lr": 0.1, "max_lr": 0.01},
            "max_lr",
            "0.01 is below base_lr 0.1. Choose at least 0.1",
        ),
        ({"name": "CyclicLR", "base_lr": 0.1}, "base_lr", "0.1 is above the learning rate 0.01.*Choose at most 0.01"),
        ({"name": "CosineAnnealingLR", "eta_min": 0.005}, "eta_min", "0.005 is above the rate 0.001 of backbone"),
        ({"name": "CosineAnnealingWarmRestarts", "eta_min": 0.02}, "eta_min", "above the rate 0.001.*at most 0.001"),
        ({"name": "LambdaLR", "formula": "1 / (50 - step)"}, "formula", "division by zero.* at step=50, epoch=5"),
        ({"name": "LambdaLR", "formula": "50 - step"}, "formula", "is -1 at step=51"),
        (
            {"name": "LambdaLR", "formula": "stepp"},
            "formula",
            "unknown name 'stepp'.*known are step, epoch, total_steps",
        ),
        ({"name": "LambdaLR", "formula": "1e400 - 1e400"}, "formula", "is nan at step=0"),
    ],
)
def test_what_contradicts_the_run_is_explained_at_its_field(schedule: dict, field: str, message: str) -> None:
    found = problems(**schedule)
    assert set(found) == {f"schedule.{field}"}
    assert re.search(message, found[f"schedule.{field}"]), found


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("CosineAnnealingLR", "T_max", 0),
        ("CosineAnnealingWarmRestarts", "T_0", 0),
        ("CosineAnnealingWarmRestarts", "T_mult", 0),
        ("StepLR", "step_size", 0),
        ("StepLR", "gamma", 1.5),
        ("MultiStepLR", "milestones", [0]),
        ("MultiStepLR", "milestones", "soon"),
        ("ExponentialLR", "gamma", 0),
        ("LinearLR", "start_factor", 0),
        ("PolynomialLR", "power", -1),
        ("OneCycleLR", "pct_start", 1),
        ("OneCycleLR", "div_factor", 0.5),
        ("CyclicLR", "step_size_up", 0),
        ("CyclicLR", "max_lr", -1),
        ("ReduceLROnPlateau", "factor", 1),
        ("ReduceLROnPlateau", "patience", -1),
        ("ConstantLR", "factor", 2),
        ("ConstantLR", "warmup_steps", -1),
        ("LambdaLR", "formula", "1" * 501),
    ],
)
def test_what_no_run_could_use_is_refused_when_read(name: str, field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"schedule": {"name": name, field: value}})
    assert set(caught.value.fields) == {f"schedule.{field}"}


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "MultiStepLR", "milestones": [1, 9]},
        {"name": "MultiStepLR", "milestones": []},
        {"name": "OneCycleLR", "total_steps": 100, "three_phase": True, "pct_start": 0.5},
        {"name": "OneCycleLR", "cycle_momentum": False, "base_momentum": 0.99},
        {"name": "CyclicLR", "base_lr": 0.01},
        {"name": "CyclicLR", "base_lr": 0.5, "max_lr": 0.5},
        {"name": "CosineAnnealingLR", "eta_min": 0.001},
        {"name": "LambdaLR", "formula": "1 / (1 + epoch)", "warmup_steps": 99},
    ],
)
def test_the_edges_of_the_ranges_are_allowed(schedule: dict) -> None:
    assert problems(**schedule) == {}


def test_a_run_of_one_epoch_has_no_milestones() -> None:
    settings = parse({"schedule": {"name": "MultiStepLR", "milestones": [1]}}).schedule
    with pytest.raises(ConfigError, match="A run of one epoch has none"):
        check_schedule(settings, total_steps=10, steps_per_epoch=10, epochs=1)


def test_checking_needs_no_torch() -> None:
    code = "import sys, fine_tuner.config.sections.schedule_check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"schedule": {"name": "MultiStepLR", "milestones": [0, 5]}},
            "[0, 5] is not a list of whole numbers >= 1, or empty.",
        ),
        ({"schedule": {"name": "ConstantLR", "total_iters": -1}}, "-1 is not a whole number >= 0."),
        ({"schedule": {"name": "LinearLR", "total_iters": 0}}, "0 is not a whole number >= 1, or empty."),
        ({"schedule": {"name": "ExponentialLR", "gamma": 2}}, "2 is not a number > 0 and <= 1, or empty."),
        ({"optim": {"betas": [0.9, 1]}}, "[0.9, 1] is not a list of numbers >= 0 and < 1, such as [0.9, 0.999]."),
    ],
)
def test_the_message_names_the_range_of_the_schedule_chosen(tree: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(tree)
    assert list(caught.value.fields.values()) == [message]
