"""Outputs of earlier weights follow the names of their classes, whatever their order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fine_tuner.models.build import BuiltModel, build_model, outline_model
from fine_tuner.models.describe import describe_head
from fine_tuner.models.pretrained.classes import plan_head
from fine_tuner.models.saved import metadata_of, save_model

NETWORK = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuiltModel]:
    """Weights of a network with the classes 1, 10, 2."""
    torch.manual_seed(0)
    built = build_model(NETWORK, task="classification", num_outputs=3, weights="none")
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    save_model(built.model, path, metadata=metadata_of(built, classes=["1", "10", "2"]))
    return path, built


def build(path: Path, names: list[str]) -> BuiltModel:
    return build_model(NETWORK, task="classification", num_outputs=len(names), weights=str(path), output_names=names)


def outline(path: Path, names: list[str]) -> BuiltModel:
    return outline_model(NETWORK, task="classification", num_outputs=len(names), weights=str(path), output_names=names)


def test_outputs_follow_the_names(earlier: tuple[Path, BuiltModel]) -> None:
    path, before = earlier
    now = build(path, ["1", "2", "10"])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(now.model.eval()(images), before.model.eval()(images)[:, [0, 2, 1]])
    assert any("follow the names" in notice for notice in now.notices)
    assert now.new == frozenset()


def test_outputs_of_other_classes_are_new_and_it_is_said(earlier: tuple[Path, BuiltModel]) -> None:
    path, _ = earlier
    now = build(path, ["1", "2", "3"])
    assert any("know other classes (10; not 3), so the output layer is new" in notice for notice in now.notices)
    assert now.new == {f"{now.head[0]}.weight", f"{now.head[0]}.bias"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1", "2"], "The weights know more classes (10), so the output layer is new."),
        (["1", "10", "2", "3"], "The weights do not know all classes (not 3), so the output layer is new."),
    ],
)
def test_fewer_and_more_classes_are_told_apart(earlier: tuple[Path, BuiltModel], names: list[str], said: str) -> None:
    assert said in build(earlier[0], names).notices


@pytest.mark.parametrize("names", [["1", "10", "2"], ["1", "2", "10"], ["a", "b", "c"], ["1", "2"]])
def test_plan_describes_the_network_that_trains(earlier: tuple[Path, BuiltModel], names: list[str]) -> None:
    path, _ = earlier
    planned, built = outline(path, names), build(path, names)
    assert planned.new == built.new
    assert ("fit as they are" in describe_head(planned)) == ("fit as they are" in describe_head(built))
    assert [n for n in planned.notices if "classes" in n] == [n for n in built.notices if "classes" in n]


def test_weights_that_say_nothing_of_classes_are_taken_as_they_are() -> None:
    assert plan_head(None, ["a", "b"]).is_kept
    assert plan_head({"classes": []}, ["a", "b"]).is_kept
