"""What a user's loss is checked on: a batch, the network's output in each precision, and how far a gradient goes.

All of it is computed before the user's code is read, so that a large network takes nothing of the code's time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fine_tuner.config.knobs import tag_of
from fine_tuner.config.sections.losses import VARIANTS
from fine_tuner.config.tasks import TargetKind, default_loss, target_kind
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import first_sentence
from fine_tuner.losses.trials.synthetic import NUM_OUTPUTS, synthetic_batch, synthetic_model

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
REFERENCES = {TargetKind.MASK: "cross_entropy"}  # of other targets the task's own
"""The loss of each task that cost and reach are compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckBatch:
    """Data and network; a few images are enough.

    Attributes:
        model: Gives the raw output ``(B, ...)``, a tensor, of images.
        images: ``(B, 3, H, W)``.
        targets: As the task has them.
        origin: For the report: ``"your data and network"`` or ``"synthetic data"``.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    task: str
    num_outputs: int
    ignore_index: int = 255
    origin: str = "your data and network"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedBatch:
    """A batch with all that the network says of it.

    Attributes:
        output: Of the network in float32, with its graph.
        half_outputs: Under autocast to ``bf16`` and ``fp16``, as float32; or why there is none.
        reference: The task's own loss, of ``reference_name``.
        reached: Trainable parameters that it moves.
    """

    batch: CheckBatch
    device: str
    targets: Tensor
    output: Tensor
    half_outputs: Mapping[str, Tensor | str]
    reference: nn.Module
    reference_name: str
    reached: tuple[str, ...]

    @property
    def trainable(self) -> int:
        """How many parameters (tensors) train."""
        return sum(p.requires_grad for p in self.batch.model.parameters())

    def reached_by(self, gradient: Tensor) -> tuple[str, ...]:
        """Names of trainable parameters that a gradient of the output moves."""
        named = {name: p for name, p in self.batch.model.named_parameters() if p.requires_grad}
        if not self.output.requires_grad:
            return ()
        weights = torch.rand(gradient.shape, generator=torch.Generator().manual_seed(0)).to(gradient) + 0.5
        gradient = gradient * weights  # so that what two images ask of a bias is not by chance exactly opposite
        gradients = torch.autograd.grad(
            self.output, list(named.values()), gradient, retain_graph=True, allow_unused=True
        )
        return tuple(name for name, g in zip(named, gradients, strict=True) if g is not None and bool(g.any()))


def synthetic(task: str, num_outputs: int | None = None, ignore_index: int = 255) -> CheckBatch:
    """A small batch and network for a check without the user's data."""
    outputs = num_outputs or NUM_OUTPUTS[target_kind(task)]
    images, targets = synthetic_batch(task, outputs, batch=max(8, outputs + 1))
    return CheckBatch(
        model=synthetic_model(task, outputs), images=images, targets=targets, task=task, num_outputs=outputs,
        ignore_index=ignore_index, origin="synthetic data",
    )  # fmt: skip


def prepare(batch: CheckBatch, device: str = "cpu") -> PreparedBatch:
    """Run the network on a batch, in evaluation mode."""
    name = REFERENCES.get(target_kind(batch.task), default_loss(batch.task))
    settings = next(v for v in VARIANTS if tag_of(v) == name)()
    reference = build_loss(
        settings, task=batch.task, num_outputs=batch.num_outputs, ignore_index=batch.ignore_index
    ).to(device)
    model = batch.model.to(device).eval()
    images, targets = batch.images.to(device), batch.targets.to(device)
    output = model(images).float()
    leaf = output.detach().requires_grad_()
    reference(leaf, targets).backward()
    prepared = PreparedBatch(
        batch=batch, device=device, targets=targets, output=output, reference=reference, reference_name=name,
        half_outputs={half: _half_output(model, images, half) for half in HALVES}, reached=(),
    )  # fmt: skip
    reached = () if leaf.grad is None else prepared.reached_by(leaf.grad)
    return dataclasses.replace(prepared, reached=reached)


def _half_output(model: nn.Module, images: Tensor, half: str) -> Tensor | str:
    try:
        with torch.no_grad(), torch.autocast(images.device.type, dtype=HALVES[half]):
            return model(images).float()
    except RuntimeError as error:  # an operation that this device lacks in this type
        return first_sentence(error)
