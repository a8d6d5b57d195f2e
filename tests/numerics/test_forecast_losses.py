"""Every loss runs on tensors without data, in every task it is offered for, alone, mixed, and with balanced weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fine_tuner.config.io import parse
from fine_tuner.config.knobs import tag_of
from fine_tuner.config.sections.losses import VARIANTS, ClassWeighted, CustomLoss
from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.losses.build import build_loss
from fine_tuner.memory.sized_tensors import PRIMES, Ledger, use_sized_tensors
from fine_tuner.tasks.mixed import MixedLoss

CASES = [
    pytest.param(v, task, weights, id=f"{tag_of(v)}-{task}-{weights}")
    for v in VARIANTS
    if v is not CustomLoss
    for task in v.tasks
    for weights in (("none", "balanced") if issubclass(v, ClassWeighted) else ("none",))
]
assert len(CASES) > 20


@pytest.mark.parametrize(("variant", "task", "weights"), CASES)
def test_a_loss_is_counted_without_data(variant: type, task: str, weights: str) -> None:
    given = {"name": tag_of(variant)} | ({"class_weights": weights} if weights == "balanced" else {})
    settings = parse({"task": task, "loss": given}).loss
    loss = build_loss(settings, task=task, num_outputs=3, class_counts=[5, 3, 2])
    ledger = Ledger(PRIMES[0])
    use_sized_tensors(loss, ledger)
    size, batch = 4, ledger.batch_size
    shape = (batch, 3, size, size) if task == "segmentation" else (batch, 3)
    logits = nn.Parameter(ledger.sized_tensor(*shape, is_counted=False))
    indices = task in ("classification", "segmentation")
    target_shape = (batch, *shape[2:]) if indices else shape
    dtype = torch.int64 if indices else torch.float32
    targets = ledger.sized_tensor(*target_shape, dtype=dtype, is_counted=False)
    if task == "classification":
        MixedLoss(loss)(logits, MixedTargets(targets, targets, 0.5)).backward()
    else:
        loss(logits, targets).backward()
    assert logits.grad is not None
    assert max(moment.at(batch) for moment in ledger.fullest()) >= logits.nbytes
