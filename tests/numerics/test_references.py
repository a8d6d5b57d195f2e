"""Metrics against scikit-learn's, on numbers, units, voids and batches drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics import MetricCollection

from fine_tuner.metrics import classification_metrics, multilabel_metrics, regression_metrics, segmentation_metrics

scikit = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (requirements-dev.txt)")
few = settings(max_examples=25, deadline=None)
seeds, counts = st.integers(0, 10**6), st.integers(2, 40)


def _computed(metrics: MetricCollection, outputs: Tensor, targets: Tensor, batch: int) -> dict[str, float]:
    for pair in zip(outputs.split(batch), targets.split(batch), strict=True):
        metrics.update(*pair)
    return {key: float(value) for key, value in metrics.compute().items()}


@few
@given(
    seed=seeds, count=counts, width=st.integers(1, 3), batch=st.integers(1, 9),
    offset=st.sampled_from([0.0, 1.0, -40.0, 3e5, 1e7]), unit=st.sampled_from([1e-6, 1e-3, 1.0, 30.0, 1e4]),
    noise=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)  # fmt: skip
def test_numbers_are_measured_as_by_scikit_learn(
    seed: int, count: int, width: int, batch: int, offset: float, unit: float, noise: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = offset + unit * torch.randn(count, width, generator=generator)
    outputs = targets + noise * unit * torch.randn(count, width, generator=generator)
    names = tuple("abc"[:width])
    found = _computed(regression_metrics(width, names), outputs, targets, batch)
    true, said = targets.double().numpy(), outputs.double().numpy()
    assert found["r2"] == pytest.approx(scikit.r2_score(true, said), rel=1e-9, abs=1e-12)
    assert found["rmse"] == pytest.approx(scikit.root_mean_squared_error(true, said), rel=1e-9)
    assert found["mae"] == pytest.approx(scikit.mean_absolute_error(true, said), rel=1e-9)
    of_each = [found[f"mae/{name}"] for name in names], [found[f"rmse/{name}"] for name in names]
    assert of_each[0] == pytest.approx(scikit.mean_absolute_error(true, said, multioutput="raw_values"), rel=1e-9)
    assert of_each[1] == pytest.approx(scikit.root_mean_squared_error(true, said, multioutput="raw_values"), rel=1e-9)


@few
@given(seed=seeds, count=counts, batch=st.integers(1, 9), shift=st.sampled_from([0.0, 40.0, -40.0]))
def test_labels_are_measured_as_by_scikit_learn_on_logits(seed: int, count: int, batch: int, shift: float) -> None:
    """Of saturated logits too, with ties, and without the labels that no image has."""
    generator = torch.Generator().manual_seed(seed)
    logits = (shift + 3 * torch.randn(count, 5, generator=generator)).round(decimals=1)
    targets = (torch.rand(count, 5, generator=generator) < torch.tensor([0.5, 0.2, 0.05, 0.0, 1.0])).float()
    there = targets.any(0)
    found = _computed(multilabel_metrics(5), logits, targets, batch)
    true, said = targets[:, there].numpy(), logits[:, there]
    assert found["map"] == pytest.approx(scikit.average_precision_score(true, said.numpy()), rel=1e-6)
    predicted = (
        said >= 0
    ).numpy()  # column by column: scikit-learn takes a single one for two classes, not for a label
    of_each = [scikit.f1_score(*column, zero_division=0) for column in zip(true.T, predicted.T, strict=True)]
    assert found["f1"] == pytest.approx(sum(of_each) / len(of_each), rel=1e-6)


@few
@given(seed=seeds, count=counts, batch=st.integers(1, 9), classes=st.integers(2, 6))
def test_classes_are_measured_as_by_scikit_learn(seed: int, count: int, batch: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator)
    targets = torch.randint(0, classes, (count,), generator=generator)
    found = _computed(classification_metrics(classes), logits, targets, batch)
    predicted = logits.argmax(1).numpy()
    assert found["accuracy"] == pytest.approx(scikit.accuracy_score(targets.numpy(), predicted), rel=1e-6)
    assert found["f1"] == pytest.approx(scikit.f1_score(targets.numpy(), predicted, average="macro"), rel=1e-6)


@few
@given(seed=seeds, count=st.integers(1, 6), batch=st.integers(1, 4), void=st.floats(0, 0.9))
def test_masks_are_measured_as_by_scikit_learn(seed: int, count: int, batch: int, void: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, 5, 6, generator=generator)
    targets = torch.randint(0, 3, (count, 5, 6), generator=generator)
    targets[torch.rand(count, 5, 6, generator=generator) < void] = 255
    counted = (targets != 255).numpy()
    assume(counted.any())
    found = _computed(segmentation_metrics(4, ignore_index=255), logits, targets, batch)
    true, said = targets.numpy()[counted], logits.argmax(1).numpy()[counted]
    assert found["mean_iou"] == pytest.approx(scikit.jaccard_score(true, said, average="macro"), rel=1e-6)
    assert found["dice"] == pytest.approx(scikit.f1_score(true, said, average="macro"), rel=1e-6)
    assert found["pixel_accuracy"] == pytest.approx(np.mean(true == said), rel=1e-6)
