"""A small synthetic network and batch of each task, for a check without the user's data and for its edge cases."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fine_tuner.config.tasks import TargetKind, target_kind

SIDE_PX = 8
MEAN_NUMBER = 2.0  # of the numbers to predict, which are from 1 to 3
NUM_OUTPUTS = {TargetKind.CLASS: 3, TargetKind.LABELS: 3, TargetKind.NUMBERS: 1, TargetKind.MASK: 3}


def synthetic_model(task: str, num_outputs: int, *, seed: int = 0) -> nn.Module:
    """Two convolutions and a head; images ``(B, 3, H, W)`` to the output of the task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        if target_kind(task) is TargetKind.MASK:
            return nn.Sequential(body, nn.Conv2d(8, num_outputs, 1))
        head = nn.Linear(8, num_outputs)
        if target_kind(task) is TargetKind.NUMBERS:
            nn.init.constant_(head.bias, MEAN_NUMBER)  # as networks for numbers begin
        return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def synthetic_batch(
    task: str, num_outputs: int, *, batch: int = 8, size: int = 32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Images ``(B, 3, H, W)`` and targets of the task; every class and label occurs."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(batch, 3, size, size, generator=rng)
    return images, synthetic_targets(task, num_outputs, batch=batch, size=size, rng=rng)


def synthetic_targets(task: str, num_outputs: int, *, batch: int, size: int, rng: torch.Generator) -> Tensor:
    """Targets of the task as the loss gets them; every class and label occurs."""
    if target_kind(task) is TargetKind.MASK:
        blobs = torch.rand(batch, num_outputs, 4, 4, generator=rng)
        targets = F.interpolate(blobs, size=(size, size), mode="bilinear", align_corners=False).argmax(1)
        targets.view(-1)[:num_outputs] = torch.arange(num_outputs)
        return targets
    if target_kind(task) is TargetKind.NUMBERS:
        return torch.rand(batch, num_outputs, generator=rng) * 2 + MEAN_NUMBER - 1
    if target_kind(task) is TargetKind.LABELS:
        labels = (torch.rand(batch, num_outputs, generator=rng) < 0.5).float()
        labels[0], labels[-1] = 1.0, 0.0
        return labels
    order = torch.randperm(batch, generator=rng)
    return (torch.arange(batch) % num_outputs)[order]


def sure_output(target: Tensor, *, task: str, num_outputs: int, scale: float) -> Tensor:
    """The output that gives each right answer with logits of ``scale`` (wrong answers for a negative one).

    For numbers it is the target itself, plus ``scale`` where that is negative.
    """
    if target_kind(task) is TargetKind.NUMBERS:
        return target + min(scale, 0.0)
    if target_kind(task) is TargetKind.LABELS:
        return scale * (2 * target - 1)
    one_hot = F.one_hot(target.clamp(0, num_outputs - 1), num_outputs).movedim(-1, 1).float()
    return scale * (2 * one_hot - 1)
