"""What can change while a run trains is listed once: everything that makes a change knows every entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fine_tuner.base.errors import ConfigError
from fine_tuner.cli.main import build_parser
from fine_tuner.config.io import FIELDS
from fine_tuner.config.live_changes import LIVE_SETTINGS, LR_FACTOR, checked, parse_change
from fine_tuner.config.settings import Settings
from fine_tuner.schedules import build_schedule
from fine_tuner.schedules.curves import StandIn

LIVE_SCRIPT = Path(__file__).resolve().parents[2] / "assets/live/change.js"


@pytest.mark.parametrize("path", LIVE_SETTINGS)
def test_a_schedule_makes_every_change_that_is_listed(path: str) -> None:
    schedule = build_schedule(Settings().schedule, StandIn([0.1], ["head"]), total_steps=32, steps_per_epoch=8)
    before = schedule.plan(range(2, 33))
    schedule.step()
    schedule.change(path, float(LIVE_SETTINGS[path].example))
    assert schedule.plan(range(2, 33)) != before


@pytest.mark.parametrize("path", LIVE_SETTINGS)
def test_an_example_is_a_change_and_what_is_out_of_bounds_is_not(path: str) -> None:
    setting = LIVE_SETTINGS[path]
    value = float(setting.example)
    assert checked({path: value}) == {path: value}
    assert parse_change(f"3:{path}={setting.example}").value == value
    for wrong in (0, -1, float("nan"), float("inf"), "fast", True, None, setting.at_most * 2):
        with pytest.raises(ConfigError, match=re.escape(f"Write {path}={setting.example}")):
            checked({path: wrong})


def test_what_is_not_listed_cannot_change_and_the_message_names_what_can() -> None:
    with pytest.raises(ConfigError, match=r"optim\.name: cannot be changed .* lr_factor, optim\.lr, train\.epochs"):
        checked({"optim.name": 1})
    for wish in ({}, {"lr_factor": 2.0, "optim.lr": 1.0}):
        with pytest.raises(ConfigError, match="give one of lr_factor and optim"):
            checked(wish)


def test_every_change_but_a_factor_is_a_setting() -> None:
    assert set(LIVE_SETTINGS) - {spec.path for spec in FIELDS} == {LR_FACTOR.path}


def test_the_command_and_the_page_offer_each() -> None:
    script, words = LIVE_SCRIPT.read_text(), build_parser().parse_args
    for path, setting in LIVE_SETTINGS.items():
        assert re.search(rf"\b{re.escape(path)}\b", script)
        assert words(["set", "RUN", f"{path}={setting.example}"]).changes == [f"{path}={setting.example}"]
