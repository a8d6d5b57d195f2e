"""Edge cases: batches that training meets sooner or later, and what a user's loss makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.code import LossFinding
from fine_tuner.losses.custom import LoadedLoss
from fine_tuner.losses.trials.attempt import attempt, merge
from fine_tuner.losses.trials.synthetic import SIDE_PX, sure_output, synthetic_targets

BATCH = 4
HALF_SIDE_PX = 512


def edge_cases(task: str, num_outputs: int, ignore_index: int) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Yield (name, level of a failure, output, target) for each edge case of a task."""
    rng = torch.Generator().manual_seed(1)
    target = synthetic_targets(task, num_outputs, batch=max(BATCH, num_outputs), size=SIDE_PX, rng=rng)
    output = torch.randn(sure_output(target, task=task, num_outputs=num_outputs, scale=1.0).shape, generator=rng)

    is_number = target_kind(task) is TargetKind.NUMBERS

    def sure(scale: float) -> Tensor:
        return sure_output(target, task=task, num_outputs=num_outputs, scale=scale)

    # a root, as in RMSE, has no gradient at 0, which the error of numbers never is while training
    yield "every answer right and sure", "warning" if is_number else "error", sure(20.0), target
    yield "every answer wrong and sure", "error", sure(-20.0), target
    yield "all outputs 0", "error", torch.zeros_like(output), target
    yield "a batch of one image", "error", output[:1], target[:1]
    if is_number:
        yield "all targets equal", "error", output, torch.ones_like(target)
        yield "errors of 1,000", "warning", sure(-1000.0), target
        return
    none = torch.zeros_like(target)
    name = {TargetKind.LABELS: "no label in the batch", TargetKind.MASK: "masks of background only"}
    yield name.get(target_kind(task), "all targets class 0"), "error", output, none
    yield "outputs of 100", "warning", sure(-100.0), target
    if target_kind(task) is TargetKind.MASK:
        some = target.clone()
        some[:, :2] = ignore_index
        yield f"some pixels to ignore ({ignore_index})", "warning", output, some
        yield f"every pixel to ignore ({ignore_index})", "warning", output, torch.full_like(target, ignore_index)


def check_edge_cases(
    loaded: LoadedLoss, *, task: str, num_outputs: int, ignore_index: int, device: str
) -> list[LossFinding]:
    """Findings of the edge cases; a failure that several of them share is told once."""
    found = []
    for name, level, output, target in edge_cases(task, num_outputs, ignore_index):
        trial = attempt(loaded, output.to(device), target.to(device), task=task)
        for finding in trial.findings:
            if finding.level == "error":
                found.append(
                    (
                        name,
                        loaded.code.finding(
                            level, f"corner_{finding.kind}", finding.what, finding.remedy, finding.line
                        ),
                    )
                )
    return merge(found, lambda names: f"with {names}")


def check_half_precision(
    loaded: LoadedLoss, output: Tensor, target: Tensor, *, task: str, num_outputs: int
) -> list[LossFinding]:
    """Whether the loss would overflow if it were given float16, as it is outside this app.

    Masks are tried at 512 x 512, whose sums pass float16's 65,504.
    """
    if target_kind(task) is TargetKind.MASK:
        rng = torch.Generator().manual_seed(2)
        target = synthetic_targets(task, num_outputs, batch=1, size=HALF_SIDE_PX, rng=rng).to(output.device)
        output = torch.randn((1, num_outputs, HALF_SIDE_PX, HALF_SIDE_PX), generator=rng).to(output.device)
    single = attempt(loaded, output.half().float(), target, task=task)
    half = attempt(loaded, output.half(), target, task=task)
    overflows = [f for f in half.findings if f.kind in ("not_finite", "gradient_not_finite")]
    if not overflows or not single.is_usable:
        return []
    finding = overflows[0]
    size = f" at {HALF_SIDE_PX} x {HALF_SIDE_PX}" if target_kind(task) is TargetKind.MASK else ""
    what = f"in float16{size} {finding.what}, in float32 it is {single.value:.4g}"
    remedy = (
        "Here the loss always gets float32, so training is safe; begin with output.float() to be safe elsewhere too."
    )
    return [loaded.code.finding("note", "half_overflow", what, remedy, finding.line)]
