"""Regression on raw numbers: the first prediction is near the mean, the loss counts in standard deviations."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from fine_tuner.config.io import parse
from fine_tuner.losses.functional import huber_loss, mse_loss
from fine_tuner.losses.verdicts import ALLOW_VARIABLE
from fine_tuner.models.outputs import split_outputs
from fine_tuner.tasks.build import assemble, build_data
from fine_tuner.tasks.standardise import StandardisedLoss

PRICES = [1e5 + 2e4 * i for i in range(8)]


@pytest.fixture
def settings(tmp_path):
    """Function to settings of a regression on eight pictures with prices and weights in grams."""
    rows = []
    for i, price in enumerate(PRICES):
        Image.new("RGB", (32, 32), (30 * i, 200 - 20 * i, 90)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{price},{0.001 * i},{'val' if i > 5 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(["file,price,grams,split", *rows]))

    def make(**changes):
        tree = {
            "task": "regression", "data": {"path": str(tmp_path), "num_workers": 0, "image_size": 32},
            "model": {"name": "shufflenet_v2_x0_5", "weights": "none"}, "loss": {"name": "mse"},
        }  # fmt: skip
        return parse(tree | changes)

    return make


def test_new_network_starts_at_the_mean_of_each_number_in_its_units(settings):
    chosen = settings()
    with assemble(chosen, build_data(chosen)) as assembly:
        outputs, _ = split_outputs(assembly.model.eval()(torch.randn(16, 3, 32, 32)))
    (price_mean, price_sd), (grams_mean, grams_sd) = assembly.data.target_mean_and_sd()
    assert price_mean == pytest.approx(sum(PRICES[:6]) / 6)
    assert ((outputs[:, 0] - price_mean).abs() < price_sd).all()
    assert ((outputs[:, 1] - grams_mean).abs() < grams_sd).all()
    assert any("standard deviations" in notice and "price" in notice for notice in assembly.built.notices)


@pytest.mark.parametrize(("name", "formula"), [("mse", mse_loss), ("huber", huber_loss)])
def test_loss_is_that_of_standardised_numbers(settings, name, formula):
    chosen = settings(loss={"name": name})
    with assemble(chosen, build_data(chosen)) as assembly:
        loss_fn, statistics = assembly.loss_fn, torch.tensor(assembly.data.target_mean_and_sd())
    mean, sd = statistics[:, 0], statistics[:, 1]
    targets = torch.tensor([[price, 0.001 * i] for i, price in enumerate(PRICES[:6])])
    outputs = targets + 0.3 * sd
    expected = formula((outputs - mean) / sd, (targets - mean) / sd)
    assert torch.allclose(loss_fn(outputs, targets), expected, rtol=1e-4)
    if name == "mse":
        assert loss_fn(mean.expand(6, 2), targets).item() == pytest.approx(1, rel=1e-4)  # always saying the mean


def test_loss_of_the_users_own_gets_the_numbers_as_they_are(settings, tmp_path, monkeypatch):
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    file = tmp_path / "mine.py"
    file.write_text("def mine(output, target):\n    return (output - target).abs().mean()\n")
    chosen = settings(loss={"name": "custom", "file": str(file), "unchecked": True})
    with assemble(chosen, build_data(chosen)) as assembly:
        assert not isinstance(assembly.loss_fn, StandardisedLoss)
        assert assembly.loss_fn(torch.tensor([[110.0]]), torch.tensor([[100.0]])).item() == 10


def test_metrics_are_in_the_numbers_own_units(settings):
    chosen = settings()
    with assemble(chosen, build_data(chosen)) as assembly:
        assembly.metrics.update(torch.tensor([[90.0, 1.0], [110.0, 1.0]]), torch.tensor([[100.0, 1.0], [100.0, 1.0]]))
        assert assembly.metrics.compute()["mae"].item() == pytest.approx(5)  # mean over both numbers
