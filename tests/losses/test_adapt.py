"""What a user's loss is given equals the formula of its form, and pixels to ignore are in neither output nor target."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fine_tuner.config.sections.loss_inputs import forms_of, why_no_form
from fine_tuner.config.tasks import TargetKind
from fine_tuner.losses.adapt import Adaptation

IGNORED = 255


IN_ANOTHER_SHAPE = {
    "foreground_logit_both_squeezed": ("foreground_logit", lambda o, t: (o[:, 0], t[:, 0])),
    "foreground_prob_both_squeezed": ("foreground_prob", lambda o, t: (o[:, 0], t[:, 0])),
    "as_is_unsqueezed": ("as_is", lambda o, t: (o, t[:, None])),
    "probs_unsqueezed": ("probs", lambda o, t: (o, t[:, None])),
    "pixels": ("as_is", lambda o, t: (o.movedim(1, -1).flatten(0, -2), t.flatten())),
    "pixels_one_hot": ("logits_one_hot", lambda o, t: [x.movedim(1, -1).flatten(0, -2) for x in (o, t)]),
}


def masks(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, classes, 3, 4, generator=rng), torch.randint(0, classes, (2, 3, 4), generator=rng)


def given(logits: torch.Tensor, targets: torch.Tensor, **about: object) -> tuple[torch.Tensor, torch.Tensor]:
    return Adaptation(**{"kind": TargetKind.MASK, "ignore_index": IGNORED} | about)(logits, targets)


def test_each_form_of_masks_is_its_formula() -> None:
    logits, targets = masks(2)
    one_hot = F.one_hot(targets, 2).movedim(-1, 1).float()
    expected = {
        "as_is": (logits, targets),
        "log_probs": (logits.log_softmax(1), targets),
        "probs": (logits.softmax(1), targets),
        "logits_one_hot": (logits, one_hot),
        "probs_one_hot": (logits.softmax(1), one_hot),
        "foreground_logit": (logits[:, 1:] - logits[:, :1], one_hot[:, 1:]),
        "foreground_prob": (logits.softmax(1)[:, 1:], one_hot[:, 1:]),
        "foreground_logit_squeezed": (logits[:, 1:] - logits[:, :1], one_hot[:, 1]),
        "foreground_prob_squeezed": (logits.softmax(1)[:, 1:], one_hot[:, 1]),
        "as_is_unsqueezed": (logits, targets[:, None]),
        "probs_unsqueezed": (logits.softmax(1), targets[:, None]),
        "foreground_logit_both_squeezed": (logits[:, 1] - logits[:, 0], one_hot[:, 1]),
        "foreground_prob_both_squeezed": (logits.softmax(1)[:, 1], one_hot[:, 1]),
        "pixels": (logits.permute(0, 2, 3, 1).reshape(-1, 2), targets.flatten()),
        "pixels_one_hot": (logits.permute(0, 2, 3, 1).reshape(-1, 2), F.one_hot(targets.flatten(), 2).float()),
    }
    assert list(forms_of("segmentation", 2)) == list(expected)
    for inputs, (output, target) in expected.items():
        got = given(logits, targets, inputs=inputs)
        torch.testing.assert_close(got, (output, target), msg=inputs)
        assert all(tensor.is_contiguous() for tensor in got)


def test_a_margin_of_more_classes_is_the_logit_of_the_probability() -> None:
    logits, targets = masks(4)
    output, target = given(4 * logits, targets, inputs="margins_one_hot")
    torch.testing.assert_close(output, (4 * logits).softmax(1).logit(), rtol=1e-4, atol=1e-4)
    assert torch.equal(target, F.one_hot(targets, 4).movedim(-1, 1).float())
    two, _ = given(logits[:, :2], targets % 2, inputs="margins_one_hot")
    torch.testing.assert_close(two[:, 1:], given(logits[:, :2], targets % 2, inputs="foreground_logit")[0])


def test_a_margin_of_sure_answers_is_finite_and_so_is_its_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0, -200.0], [5.0, 5.0, -200.0]], requires_grad=True)
    output, _ = given(logits, torch.tensor([0, 1]), kind=TargetKind.CLASS, inputs="margins_one_hot")
    torch.testing.assert_close(output, torch.tensor([[200.0, -200.0, -400.0], [0.0, 0.0, -205.0 - math.log(2)]]))
    output[0].sum().backward()
    assert torch.equal(logits.grad, torch.tensor([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))


def test_labels_get_a_sigmoid_each() -> None:
    logits, labels = torch.randn(3, 4), torch.ones(3, 4)
    output, target = given(logits, labels, kind=TargetKind.LABELS, inputs="probs_one_hot")
    assert torch.equal(output, logits.sigmoid())
    assert torch.equal(target, labels)


def test_the_one_number_of_an_image_has_a_target_that_is_no_column() -> None:
    numbers, targets = torch.randn(3, 1), torch.randn(3, 1)
    output, target = given(numbers, targets, kind=TargetKind.NUMBERS, inputs="squeezed")
    assert torch.equal(output, numbers)
    assert torch.equal(target, targets[:, 0])
    both = given(numbers, targets, kind=TargetKind.NUMBERS, inputs="both_squeezed")
    torch.testing.assert_close(both, (numbers[:, 0], targets[:, 0]))
    assert list(forms_of("regression", 1)) == ["as_is", "squeezed", "both_squeezed"]
    assert list(forms_of("regression", 2)) == ["as_is"]


def test_memory_in_channels_last_can_be_flattened_with_view() -> None:
    logits, targets = masks(4)
    for inputs in forms_of("segmentation", 4):
        output, target = given(logits.to(memory_format=torch.channels_last), targets, inputs=inputs)
        output.view(-1), target.view(-1)  # raises where memory is in another order


@pytest.mark.parametrize("inputs", [form for form in forms_of("segmentation", 2) if form not in IN_ANOTHER_SHAPE])
def test_pixels_that_are_left_out_are_in_neither(inputs: str) -> None:
    logits, targets = masks(2)
    targets[0, 0] = targets[1, 2, 1] = IGNORED
    counts = targets != IGNORED
    output, target = given(logits, targets, inputs=inputs, ignored="left_out")
    whole, wanted = given(logits, targets * counts, inputs=inputs)
    remaining = int(counts.sum())
    assert output.shape == (1, whole.shape[1], remaining, 1)
    # softmax of two layouts of memory differs in the last digit
    torch.testing.assert_close(output[0, ..., 0].T, whole.movedim(1, -1)[counts], rtol=1e-6, atol=0)
    if wanted.ndim == 3:
        assert target.shape == (1, remaining, 1)
        assert torch.equal(target[0, :, 0], targets[counts].to(target.dtype))
    else:
        assert torch.equal(target[0, ..., 0].T, wanted.movedim(1, -1)[counts])


def test_a_batch_without_pixels_to_ignore_keeps_its_shape() -> None:
    logits, targets = masks(3)
    output, target = given(logits, targets, inputs="probs_one_hot", ignored="left_out")
    assert output.shape == target.shape == logits.shape


@pytest.mark.parametrize(
    "inputs", [form for form in forms_of("segmentation", 2) if form not in ("as_is", *IN_ANOTHER_SHAPE)]
)
def test_pixels_that_are_answered_are_right_and_move_nothing(inputs: str) -> None:
    logits, targets = masks(2)
    targets[0, 0] = IGNORED
    logits.requires_grad_()
    output, target = given(logits, targets, inputs=inputs, ignored="answered")
    assert output.shape[2:] == target.shape[-2:] == targets.shape[1:]
    probs = output if "prob" in inputs else output.softmax(1) if output.shape[1] == 2 else output.sigmoid()
    if inputs in ("log_probs", "probs"):
        probs = output.exp() if inputs == "log_probs" else output
        target = F.one_hot(target, 2).movedim(-1, 1).float()
    target = target if target.ndim == 4 else target[:, None]
    assert torch.allclose(probs[0, :, 0], target[0, :, 0], atol=1e-12)
    assert not target[0, -1, 0].any()
    output.square().sum().backward()
    assert logits.grad is not None
    assert not logits.grad[0, :, 0].any()
    assert logits.grad[0, :, 1].any()


@pytest.mark.parametrize("ignored", ["left_out", "answered"])
@pytest.mark.parametrize("inputs", IN_ANOTHER_SHAPE)
def test_a_form_in_another_shape_has_the_same_values_without_ignored_pixels(inputs: str, ignored: str) -> None:
    logits, targets = masks(2)
    targets[0, 0] = IGNORED
    form, shaped = IN_ANOTHER_SHAPE[inputs]
    expected = shaped(*given(logits, targets, inputs=form, ignored=ignored))
    for got, wanted in zip(given(logits, targets, inputs=inputs, ignored=ignored), expected, strict=True):
        assert torch.equal(got, wanted)
        assert got.dtype == wanted.dtype


def test_a_form_without_a_meaning_is_refused_with_those_that_have_one() -> None:
    assert why_no_form("foreground_logit", "segmentation", 2) is None
    why = why_no_form("foreground_logit", "segmentation", 3) or ""
    assert "as_is, log_probs, probs, logits_one_hot, probs_one_hot, margins_one_hot" in why
    assert why_no_form("logits_one_hot", "multilabel", 3) is None
    assert why_no_form("probs_one_hot", "regression", 1) is not None
