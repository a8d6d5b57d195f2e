"""A trainer over a tiny network and random tensors, with every knob of the loop in reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fine_tuner.precision import Precision
from fine_tuner.training.loop.hooks import Hooks
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.loop.validation import Validation

CLASSES = 3


class TensorBatches:
    """Micro-batches of given tensors, in an order that depends only on (seed, epoch)."""

    def __init__(self, images: Tensor, targets: Tensor, *, batch_size: int, seed: int = 7) -> None:
        self.images, self.targets, self.batch_size, self.seed = images, targets, batch_size, seed
        self.per_epoch = -(-len(images) // batch_size)

        self.left_out: frozenset[int] = frozenset()

    def order(self, epoch: int) -> list[int]:
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.seed + epoch)).tolist()
        others = [index for index in order if index not in self.left_out]
        return [index if index not in self.left_out else others[0] for index in order]

    def indices(self, micro_step: int) -> list[int]:
        epoch, number = divmod(micro_step, self.per_epoch)
        return self.order(epoch)[number * self.batch_size :][: self.batch_size]

    def size(self, micro_step: int) -> int:
        return len(self.indices(micro_step))

    def part(self, micro_step: int) -> slice:
        return slice(0, self.size(micro_step))

    def prepare(self, micro_step: int) -> None:
        pass

    def leave_out(self, indices: Iterable[int]) -> None:
        self.left_out |= frozenset(indices)

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            chosen = self.indices(micro_step)
            yield self.images[chosen], self.targets[chosen]
            micro_step += 1


class TorchSchedule:
    """A torch scheduler stepped after every optimizer step."""

    def __init__(self, scheduler: torch.optim.lr_scheduler.LRScheduler) -> None:
        self.scheduler = scheduler

    def step(self) -> None:
        self.scheduler.step()

    def end_epoch(self, metric: float | None) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


def make_network(dropout: float = 0.0) -> nn.Module:
    """Convolution, BatchNorm, dropout, linear: the layers whose state a resume must carry."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout),
        nn.Linear(8 * 16, CLASSES),
    )  # fmt: skip


def make_data(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, 3, 4, 4, generator=generator),
        torch.randint(0, CLASSES, (count,), generator=generator),
    )


def taken(parts: dict[str, Any], kind: type) -> dict[str, Any]:
    """Those of ``parts`` that are fields of a dataclass; they are no longer in ``parts``."""
    return {f.name: parts.pop(f.name) for f in fields(kind) if f.name in parts}


@pytest.fixture
def make_trainer() -> Any:
    """A function that builds a trainer; keyword arguments replace its parts."""

    def build(
        *,
        batch_size: int = 8,
        dropout: float = 0.0,
        count: int = 40,
        model: nn.Module | None = None,
        optimizer: Any = lambda groups: torch.optim.AdamW(groups, lr=1e-2),
        dtype: str = "fp32",
        epochs: int = 3,
        **parts: Any,
    ) -> Trainer:
        model = model or make_network(dropout)
        groups = [{"params": list(model.parameters()), "name": "all"}]
        built = optimizer(groups)
        schedule = TorchSchedule(torch.optim.lr_scheduler.ExponentialLR(built, 0.97))
        learner = Learner(
            model=model,
            loss_fn=parts.pop("loss_fn", nn.CrossEntropyLoss()),
            optimizer=built,
            schedule=schedule,
            batches=TensorBatches(*make_data(count), batch_size=batch_size),
            precision=Precision(dtype, torch.device("cpu")),
            epochs=epochs,
            **taken(parts, Learner),
        )
        return Trainer(learner, Validation(**taken(parts, Validation)), Hooks(**taken(parts, Hooks)), **parts)

    return build


def assert_same(a: nn.Module, b: nn.Module, *, because: str = "", **tolerance: float) -> None:
    """Equal state dicts; bit for bit unless a tolerance is given."""
    tolerance = tolerance or {"rtol": 0, "atol": 0}
    torch.testing.assert_close(
        dict(a.state_dict()), dict(b.state_dict()), msg=(lambda m: f"{because}\n{m}"), **tolerance
    )
