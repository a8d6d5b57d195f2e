"""fp16 in the log: the scale, what was skipped, the true norm of the gradient; and when to say that it is too much."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fine_tuner.base.errors import NonFiniteError
from fine_tuner.config.sections.losses import CrossEntropyLoss
from fine_tuner.losses.build import build_loss
from fine_tuner.runs.log.events import TrainMetrics
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.sentences import skipped
from fine_tuner.training.loop.loss_scale import LossScale
from tests.runs.logs import lines, started

# torch's own schedulers, which these tests use, warn where the first step is skipped
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


class Overflowing(torch.autograd.Function):
    """The identity, whose gradient is infinite: as where a scaled gradient leaves fp16's range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * math.inf


def run_in_fp16(make_trainer: Any, overflows: set[int], **parts: Any) -> tuple[Any, list[dict[str, float]]]:
    events: list[Any] = []

    def emit(event: Any) -> None:
        events.append(event)
        if isinstance(event, TrainMetrics):
            trainer.weights.append(trainer.learner.model[0].weight.flatten()[0].item())

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, targets)
        return Overflowing.apply(loss) if trainer.position.step + 1 in overflows else loss

    trainer = make_trainer(dtype="fp16", loss_fn=loss_fn, emit=emit, **parts)
    # one of them, before the run and after each step
    trainer.weights = [trainer.learner.model[0].weight.flatten()[0].item()]
    trainer.train()
    return trainer, [e.metrics for e in events if isinstance(e, TrainMetrics)]


def test_an_overflow_skips_its_step_halves_the_scale_and_the_run_recovers(make_trainer: Any) -> None:
    trainer, metrics = run_in_fp16(make_trainer, {3, 4})
    skipped_steps = [s for s, m in enumerate(metrics, 1) if not math.isfinite(m["train/grad_norm"])]
    assert {3, 4} <= set(skipped_steps)
    assert len(skipped_steps) < 6, "the first scale, 65536, is too large for this network; it should settle soon"
    scale, count = 65536.0, 0
    for step, recorded in enumerate(metrics, 1):
        scale, count = (scale / 2, count + 1) if step in skipped_steps else (scale, count)
        assert (recorded["train/loss_scale"], recorded["train/skipped_steps"]) == (scale, count)
    # a skipped step is a step: the rates are those of the preview
    assert [m["train/lr/all"] for m in metrics] == pytest.approx([1e-2 * 0.97**s for s in range(15)], rel=1e-12)
    moved = [weight != before for before, weight in pairwise(trainer.weights)]
    assert moved == [step not in skipped_steps for step in range(1, 16)]
    assert metrics[-1]["train/loss"] < metrics[0]["train/loss"]


def test_the_norm_is_that_of_the_unscaled_gradient_before_clipping(make_trainer: Any) -> None:
    _, half = run_in_fp16(make_trainer, set(), clip_norm=1e-3, epochs=1)
    events: list[Any] = []
    first = next(i for i, m in enumerate(half) if math.isfinite(m["train/grad_norm"]))
    # the weights are the first ones still: steps before were skipped
    after_skips = make_trainer(emit=events.append, epochs=1, passed_over=frozenset(range(1, first + 1)))
    after_skips.train()
    assert half[first]["train/grad_norm"] == pytest.approx(events[0].metrics["train/grad_norm"], rel=2e-2)


def test_a_run_that_only_skips_ends_with_a_message(make_trainer: Any) -> None:
    with pytest.raises(NonFiniteError, match="gradient is not finite"):
        run_in_fp16(make_trainer, set(range(1, 100)), epochs=8)


def test_the_count_survives_a_resume() -> None:
    first = LossScale(scale=8.0)
    assert [first.see(s)["train/skipped_steps"] for s in (8.0, 4.0, 4.0, 2.0, 4.0)] == [0, 1, 1, 2, 2]
    second = LossScale()
    second.load_state_dict(first.state_dict())
    assert second.see(2.0) == {"train/loss_scale": 2.0, "train/skipped_steps": 3.0}


def test_other_precisions_have_no_scale(make_trainer: Any) -> None:
    events: list[Any] = []
    make_trainer(emit=events.append, epochs=1).train()
    assert not any("train/loss_scale" in e.metrics for e in events if isinstance(e, TrainMetrics))


@pytest.mark.parametrize(
    ("every", "text"), [(7, "14 % of the last 100 steps were skipped; bf16 would not."), (50, "")]
)  # fmt: skip
def test_one_sentence_says_when_too_many_steps_are_skipped(every: int, text: str) -> None:
    fold = Fold()
    log = [
        TrainMetrics(step=s, epoch=1, metrics={"train/loss": 1.0, "train/skipped_steps": float(s // every)})
        for s in range(1, 209)
    ]
    fold.feed(lines([started(300), *log]))
    assert skipped(fold.series["train/skipped_steps"]) == text


def test_losses_are_computed_in_float32_under_autocast() -> None:
    """What makes a sum over 512 x 512 pixels safe: in fp16 it would be infinite."""
    loss_fn = build_loss(CrossEntropyLoss(), task="segmentation", num_outputs=2)
    logits, targets = torch.zeros(1, 2, 512, 512).half(), torch.zeros(1, 512, 512, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = loss_fn(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    assert torch.ones(512, 512).half().sum().isinf()
