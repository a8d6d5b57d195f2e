"""A fact of a metric is said once, and every view reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fine_tuner.config.metric_specs import (
    KINDS,
    METRIC_SPECS,
    QUALITY,
    MetricSpec,
    metric_name,
    metric_of,
    metric_table,
    metric_text,
    register_metrics,
)
from fine_tuner.config.tasks import TASK_SPECS

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def test_fractions_are_percent_and_other_metrics_are_not() -> None:
    assert metric_text("val/accuracy", 0.9478) == "94.8 %"
    assert metric_text("val/loss", 0.03124) == "0.03124"
    assert metric_text("val/mae", 2.03) == "2.03"


def test_a_metric_is_called_by_its_split_and_label_and_an_unknown_one_by_its_key() -> None:
    assert metric_name("val/mean_iou") == "validation mean IoU"
    assert metric_name("train/grad_norm") == "training gradient norm"
    assert metric_name("val/my_number") == "validation my number"
    assert metric_of("my_number").kind == "number"


def test_an_error_of_one_of_several_numbers_is_read_as_the_error() -> None:
    assert metric_name("val/mae/km/h") == "validation mean absolute error of km/h"
    assert metric_of("mae/age") == metric_of("val/mae/age")
    assert metric_of("val/rmse/age").higher_is_better is False
    measured = TASK_SPECS["regression"].measured(("age", "height"))
    assert list(measured) == [
        "val/mae", "val/rmse", "val/r2", "val/loss", "val/mae/age", "val/mae/height", "val/rmse/age", "val/rmse/height",
    ]  # fmt: skip
    assert all(metric_of(key) == spec for key, spec in measured.items())
    assert list(TASK_SPECS["regression"].measured(("age",))) == ["val/mae", "val/rmse", "val/r2", "val/loss"]


def test_every_metric_of_a_task_is_known_and_says_which_way_is_better() -> None:
    for task in TASK_SPECS.values():
        assert task.metrics
        for metric in task.metrics:
            assert METRIC_SPECS[metric.key] is metric
            assert metric.higher_is_better is not None
    assert {m.key for t in TASK_SPECS.values() for m in t.metrics} | {"loss"} == {m.key for m in QUALITY}


def test_the_scripts_print_every_kind_and_get_every_metric_as_json() -> None:
    kinds = re.search(r"const KINDS = \{([^}]*)\}", (ASSETS / "base/format.js").read_text())
    assert kinds is not None
    assert {spec.kind for spec in METRIC_SPECS.values()} <= set(KINDS) <= set(re.findall(r"\w+", kinds[1]))
    assert json.loads(json.dumps(metric_table())).keys() == METRIC_SPECS.keys()


def test_no_script_has_a_second_list_of_metrics() -> None:
    special = {"loss", "images_per_second", "grad_norm"}  # charts of their own
    keys = [spec.key for spec in METRIC_SPECS.values() if spec.key not in special and spec.kind != "memory"]
    scripts = sorted(ASSETS.rglob("*.js"))
    assert len(scripts) > 40
    for script in scripts:
        text = script.read_text()
        told = [key for key in keys if re.search(rf"\b{key}: \{{|[\"'](?:val/)?{key}[\"']", text)]
        is_published = script.parent.name == "setup" or script.name == "setup.js"  # a column of torchvision's numbers
        assert told == (["accuracy"] if told and is_published else []), script


def test_a_key_cannot_mean_two_things() -> None:
    with pytest.raises(ValueError, match="'loss' has two specs"):
        register_metrics([MetricSpec(key="loss", label="another")])
