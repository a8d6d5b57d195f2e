"""Losses that people bring run unchanged, in the form that they were written for. The table is ``Brought.chosen``."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fine_tuner.config.knobs import tag_of
from fine_tuner.config.sections.losses import VARIANTS
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import read_code
from fine_tuner.losses.trials.meaning import LossUse, settle
from fine_tuner.losses.trials.synthetic import synthetic_batch, synthetic_model
from tests.losses.brought.losses import BROUGHT, BY_NAME, Brought

IGNORED = 255
CASES = [(one, task, outputs) for one in BROUGHT for task, outputs in one.chosen]
TRAINED = [(one, task, outputs) for one, task, outputs in CASES if one.twin[task]]
ids = {"ids": lambda value: value.name.replace(" ", "-") if isinstance(value, Brought) else str(value)}


def write(folder: Path, one: Brought, style: str = "function") -> str:
    file = folder / "brought.py"
    file.write_text(one.text(style))
    return str(file)


def brought(file: str, task: str, outputs: int, arguments: str = "") -> nn.Module:
    """A person's loss in the form that ``auto`` chooses."""
    return settle(read_code(file), "", arguments, LossUse(task=task, num_outputs=outputs)).loaded.module


def ours(name: str, task: str, outputs: int, **parameters: object) -> nn.Module:
    variant = next(v for v in VARIANTS if tag_of(v) == name)
    return build_loss(variant(**parameters), task=task, num_outputs=outputs)


def test_every_circulating_loss_is_tried_on_every_task_it_has_a_meaning_for() -> None:
    assert len(BROUGHT) >= 19
    assert len(CASES) >= 85
    assert {task for _, task, _ in CASES} == {"classification", "multilabel", "regression", "segmentation"}


STYLES = [("function", one) for one in BROUGHT] + [
    pytest.param("class", one, marks=[pytest.mark.slow] * (number % 4 > 0)) for number, one in enumerate(BROUGHT)
]


@pytest.mark.parametrize(("style", "one"), STYLES, **ids)
def test_auto_chooses_the_form_that_the_code_was_written_for(style: str, one: Brought, tmp_path: Path) -> None:
    file, found = write(tmp_path, one, style), {}
    for task, outputs in one.chosen:
        settled = settle(read_code(file), "", "", LossUse(task=task, num_outputs=outputs))
        used = settled.loaded.module.adaptation.inputs
        found[task, outputs] = used
        assert any(c.inputs == used and c.has_meaning for c in settled.considered), settled.considered
        assert settled.reason.startswith("The code is given ")
    assert found == one.chosen


@pytest.mark.parametrize(("one", "task", "outputs"), TRAINED, **ids)
def test_thirty_steps_lower_the_loss_of_ours_with_the_same_purpose(
    one: Brought, task: str, outputs: int, tmp_path: Path
) -> None:
    loss_fn = brought(write(tmp_path, one), task, outputs)
    twin = ours(one.twin[task], task, outputs)
    images, targets = telling_batch(task, outputs)
    model = synthetic_model(task, outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    before = twin(model(images), targets).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss_fn(model(images), targets).backward()
        optimizer.step()
    assert twin(model(images), targets).item() < before


def telling_batch(task: str, outputs: int) -> tuple[Tensor, Tensor]:
    """Images whose three colours tell the target; a row of each mask is to be ignored."""
    images, targets = synthetic_batch(task, outputs, batch=12, size=8)
    if task in ("classification", "segmentation"):
        bits = torch.stack([(targets >> bit) & 1 for bit in range(3)], 1).float()
    else:
        bits = F.pad(targets, (0, 3 - outputs))
    images = 0.2 * images + (bits if bits.ndim == 4 else bits[:, :, None, None])
    if task == "segmentation":
        targets[:, 0] = IGNORED
    return images, targets


EQUAL = [
    ("MSE", "mse", "classification", 5, "", {}),
    ("MSE", "mse", "multilabel", 3, "", {}),
    ("MSE", "mse", "regression", 2, "", {}),
    ("MSE", "mse", "segmentation", 2, "", {}),
    ("MSE", "mse", "segmentation", 4, "", {}),
    ("MAE", "l1", "regression", 2, "", {}),
    ("Dice", "dice", "segmentation", 2, "smooth=0.5", {"smooth": 0.5}),
    ("Dice without smoothing", "dice", "segmentation", 2, "", {}),
    ("IoU", "jaccard", "segmentation", 2, "smooth=0", {}),
    ("Tversky", "tversky", "segmentation", 2, "smooth=0, alpha=0.3, beta=0.7", {}),
    ("focal an element", "focal", "segmentation", 2, "", {}),
    ("focal an element", "focal", "multilabel", 3, "", {}),
    ("binary cross entropy", "cross_entropy", "classification", 2, "", {}),
    ("binary cross entropy", "cross_entropy", "segmentation", 2, "", {}),
    ("binary cross entropy", "binary_cross_entropy", "multilabel", 3, "", {}),
    ("binary cross entropy, mask given a channel", "cross_entropy", "classification", 2, "", {}),
    ("binary cross entropy, mask given a channel", "cross_entropy", "segmentation", 2, "", {}),
    ("binary cross entropy, output without channel", "cross_entropy", "segmentation", 2, "", {}),
    ("Dice, mask given a channel", "dice", "segmentation", 2, "smooth=0.5", {"smooth": 0.5}),
    ("focal, mask given a channel", "focal", "segmentation", 2, "", {}),
    ("MSE, mask given a channel", "mse", "segmentation", 2, "", {}),
    ("MSE, mask given a channel", "mse", "regression", 1, "", {}),
    ("soft cross entropy", "binary_cross_entropy", "multilabel", 3, "", {}),
    ("label smoothing", "binary_cross_entropy", "multilabel", 3, "smoothing=0.0", {}),
    ("label smoothing", "cross_entropy", "classification", 5, "", {"label_smoothing": 0.1}),
    ("label smoothing", "cross_entropy", "segmentation", 4, "", {"label_smoothing": 0.1}),
    ("soft cross entropy", "cross_entropy", "classification", 5, "", {}),
    ("likelihood of log-probabilities", "cross_entropy", "classification", 5, "", {}),
    ("likelihood of log-probabilities by hand", "cross_entropy", "segmentation", 4, "", {}),
    ("logarithm of probabilities", "cross_entropy", "segmentation", 2, "eps=0.0", {}),
    ("Lovász-softmax", "lovasz", "segmentation", 4, "", {"include_background": True}),
    ("soft cross entropy", "cross_entropy", "segmentation", 4, "", {}),
    ("smoothed soft cross entropy", "cross_entropy", "segmentation", 4, "", {"label_smoothing": 0.1}),
]


@pytest.mark.parametrize(("name", "twin", "task", "outputs", "arguments", "parameters"), EQUAL)
def test_a_loss_that_we_have_too_has_the_same_value_and_gradient(
    name: str, twin: str, task: str, outputs: int, arguments: str, parameters: dict[str, object], tmp_path: Path
) -> None:
    theirs = brought(write(tmp_path, BY_NAME[name], "class"), task, outputs, arguments)
    own = ours(twin, task, outputs, **parameters)
    images, targets = synthetic_batch(task, outputs, batch=6, size=8)
    if task == "segmentation":
        targets[0, :3] = IGNORED
    output = 2 * torch.randn(synthetic_model(task, outputs)(images).shape, generator=torch.Generator().manual_seed(1))
    (value, gradient), (expected, wanted) = (_differentiated(fn, output, targets) for fn in (theirs, own))
    assert torch.allclose(value, expected, rtol=0, atol=1e-6)
    assert torch.allclose(gradient, wanted, rtol=0, atol=1e-6)


def _differentiated(loss_fn: nn.Module, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    leaf = output.clone().requires_grad_()
    value = loss_fn(leaf, targets)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


OF_NUMBERS = (
    "2 * (output - target).abs() / (output.abs() + target.abs() + 1e-8)",
    "torch.max(0.9 * (target - output), 0.1 * (output - target))",
    "F.relu((output - target).abs() - 1.0)",
    "1 - torch.exp(-0.5 * (output - target) ** 2)",
    "1 - F.cosine_similarity(output - output.mean(), target - target.mean(), dim=0)",
    "torch.sqrt(F.mse_loss(torch.log1p(output.clamp(min=1e-3)), torch.log1p(target)))",
    "F.poisson_nll_loss(output.clamp(min=1e-3), target, log_input=False)",
)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("formula", OF_NUMBERS)
def test_a_loss_of_numbers_need_not_be_that_of_their_difference(formula: str, outputs: int, tmp_path: Path) -> None:
    file = tmp_path / "brought.py"
    file.write_text(f"def my_loss(output, target):\n    return {formula}\n")
    (tried,) = settle(read_code(str(file)), "", "", LossUse(task="regression", num_outputs=outputs)).considered
    assert tried.has_meaning, tried


@pytest.mark.parametrize(
    "formula", ["F.kl_div(output.log_softmax(1), target)", "F.cross_entropy(output, target[:, 0].long())"]
)
def test_a_loss_of_numbers_is_nowhere_lower_than_at_the_right_ones(formula: str, tmp_path: Path) -> None:
    file = tmp_path / "brought.py"  # as low where all numbers are off by one, so that no move in common tells it
    file.write_text(f"def my_loss(output, target):\n    return {formula}\n")
    (tried,) = settle(read_code(str(file)), "", "", LossUse(task="regression", num_outputs=3)).considered
    assert not tried.has_meaning
    assert "lower for other outputs" in tried.why


def test_a_loss_that_looks_at_neighbours_keeps_pixels_in_their_place(tmp_path: Path) -> None:
    file = tmp_path / "brought.py"  # of a column of pixels that remain, the mean over neighbours is that of nothing
    file.write_text(
        "def my_loss(output, target):\n    p = output.softmax(1)\n"
        "    return F.cross_entropy(output, target) + (p[..., 1:] - p[..., :-1]).abs().mean()\n"
    )
    assert brought(str(file), "segmentation", 4).adaptation.ignored == "answered"


def test_no_form_has_a_meaning_for_a_loss_that_does_not_depend_on_the_output(tmp_path: Path) -> None:
    file = tmp_path / "brought.py"
    file.write_text("def my_loss(output, target):\n    return target.mean() + 0 * output.mean()\n")
    settled = settle(read_code(str(file)), "", "", LossUse(task="regression", num_outputs=1))
    assert settled.reason.startswith("No form has a meaning")
    assert "does not depend on output" in settled.considered[0].why


PAIRS_ALL = {
    "an output that lost its channel": "(torch.sigmoid(output.squeeze(1)) - target) ** 2",
    "a target that got one": "(torch.sigmoid(output) - target.unsqueeze(1)) ** 2",
    "the larger less the smaller": "torch.maximum(torch.sigmoid(output), target.unsqueeze(1))"
    " - torch.minimum(torch.sigmoid(output), target.unsqueeze(1))",
}


@pytest.mark.parametrize("formula", PAIRS_ALL.values(), ids=PAIRS_ALL)
@pytest.mark.parametrize(("task", "outputs"), [("classification", 2), ("segmentation", 2), ("regression", 1)])
def test_no_form_pairs_an_image_with_the_targets_of_others(
    formula: str, task: str, outputs: int, tmp_path: Path
) -> None:
    file = tmp_path / "brought.py"
    file.write_text(f"def my_loss(output, target):\n    return ({formula}).mean()\n")
    settled = settle(read_code(str(file)), "", "", LossUse(task=task, num_outputs=outputs))
    loss_fn, meanings = settled.loaded.module, {c.inputs: c.has_meaning for c in settled.considered}
    if task == "regression":  # a sigmoid is no number
        assert not any(meanings.values())
        return
    assert meanings[loss_fn.adaptation.inputs]
    for batch in (1, 2, 5):
        output, targets = torch.randn(batch, 2, *([4, 3] if task == "segmentation" else [])), torch.zeros(batch).long()
        targets = targets[:, None, None].expand(-1, 4, 3).clone() if task == "segmentation" else targets
        targets[0] = 1
        alone = torch.stack([loss_fn(output[i : i + 1], targets[i : i + 1]) for i in range(batch)])
        torch.testing.assert_close(loss_fn(output, targets), alone.mean())  # of images of one size


APPLIED_TWICE = {
    "probabilities as log-probabilities": "F.nll_loss(output.softmax(1), target)",
    "softmax before cross entropy": "F.cross_entropy(output.softmax(1), target)",
    "softmax over the images": "F.nll_loss(output.log_softmax(0), target)",
}


@pytest.mark.parametrize("formula", APPLIED_TWICE.values(), ids=APPLIED_TWICE)
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_probabilities_hide_no_mistake_of_code_with_a_softmax_of_its_own(
    formula: str, task: str, tmp_path: Path
) -> None:
    file = tmp_path / "brought.py"
    file.write_text(f"def my_loss(output, target):\n    return {formula}\n")
    tried = settle(read_code(str(file)), "", "", LossUse(task=task, num_outputs=3)).considered
    assert not any(c.has_meaning for c in tried), tried


def test_one_form_with_class_numbers_has_a_meaning_at_most(tmp_path: Path) -> None:
    for one in BROUGHT:
        file = write(tmp_path, one)
        for task, outputs in one.chosen.keys() & {("classification", 2), ("segmentation", 4)}:
            tried = settle(read_code(file), "", "", LossUse(task=task, num_outputs=outputs)).considered
            assert sum(c.has_meaning for c in tried if c.inputs in ("as_is", "log_probs", "probs")) <= 1, one.name


TAKES_255 = {
    "amount": """
        def my_loss(output, target):
            p, t = output.softmax(1)[:, 1], target.float()
            return 1 - 2 * (p * t).sum() / (p.sum() + t.sum() + 1e-6)
        """,
    "class that is missed": """
        def my_loss(output, target):
            p, loss = output.softmax(1), 0.0
            for k in range(output.shape[1]):
                t = (target == k).float()
                loss += 1 - 2 * (p[:, k] * t).sum() / ((p[:, k] ** 2).sum() + t.sum() + 1e-6)
            return loss / output.shape[1]
        """,
}


@pytest.mark.parametrize("text", TAKES_255.values(), ids=TAKES_255)
def test_pixels_to_ignore_are_kept_from_code_that_takes_their_index_for_something_else(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "brought.py"
    file.write_text(dedent(text))
    loss_fn = brought(str(file), "segmentation", 2)
    output, (_, targets) = torch.randn(3, 2, 8, 8), synthetic_batch("segmentation", 2, batch=3, size=8)
    targets[:, :2] = IGNORED
    value, gradient = _differentiated(loss_fn, output, targets)
    kept, _ = _differentiated(loss_fn, output[:, :, 2:].contiguous(), targets[:, 2:].contiguous())
    torch.testing.assert_close(value, kept)
    assert not gradient[:, :, :2].any()
    assert gradient[:, :, 2:].any()


def test_masks_with_nothing_to_count_give_zero(tmp_path: Path) -> None:
    for name in ("MSE", "Dice", "Dice an image", "label smoothing"):
        loss_fn = brought(write(tmp_path, BY_NAME[name]), "segmentation", 4)
        nothing = torch.full((2, 8, 8), IGNORED)
        value, gradient = _differentiated(loss_fn, torch.randn(2, 4, 8, 8), nothing)
        assert value.isfinite(), name
        assert not gradient.any(), name
