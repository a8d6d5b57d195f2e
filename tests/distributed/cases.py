"""Trainings on tensors, run by one process or, as a script under torchrun, by several: ``cases.py OUT``.

No network here has BatchNorm, whose statistics are those of a rank's part of a batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fine_tuner.data.loading.batches import EvalBatches, TrainBatches
from fine_tuner.data.loading.mixing import Mixer
from fine_tuner.distributed.joining import joined_ranks
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.losses.functional import cross_entropy, mse_loss
from fine_tuner.losses.modules import FormulaLoss, LossSum
from fine_tuner.losses.overlap import dice_loss
from fine_tuner.losses.parts import Loss
from fine_tuner.metrics import classification_metrics, regression_metrics, segmentation_metrics
from fine_tuner.precision import Precision
from fine_tuner.runs.log.events import EvalMetrics, TrainMetrics
from fine_tuner.tasks.mixed import MixedLoss
from fine_tuner.training.loop.ema import EMA
from fine_tuner.training.loop.hooks import Hooks
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.micro_batches import MicroBatches
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.loop.validation import BestTracker, Validation, evaluate

CPU = torch.device("cpu")
IMAGES, BATCH, CLASSES, IGNORED = 29, 12, 3, 255  # micro-batches of 12, 12 and 5


class Drawn:
    """Images drawn from their number, with a target of a task."""

    def __init__(self, kind: str, count: int = IMAGES) -> None:
        self.kind, self.records = kind, [None] * count

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: Any) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(100 + key.index)
        image = torch.randn(3, 6, 6, generator=generator)
        if self.kind == "class":
            return image, torch.randint(0, CLASSES, (), generator=generator)
        if self.kind == "numbers":
            return image, torch.randn(2, generator=generator) + 3
        mask = torch.randint(0, CLASSES, (6, 6), generator=generator)
        mask[: key.index % 5] = IGNORED  # another number of pixels counts in each
        return image, mask


class Dense(nn.Module):
    """Logits of each pixel, and of an auxiliary head while training."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.out, self.aux = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.Conv2d(6, CLASSES, 1),
            nn.Conv2d(6, CLASSES, 1),
        )

    def forward(self, images: Tensor) -> Any:
        features = self.trunk(images).relu()
        return {"out": self.out(features), "aux": self.aux(features)} if self.training else {"out": self.out(features)}


def flat(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, outputs))


class LearnedScale(nn.Module):
    """A loss with a parameter of its own, as a user may bring one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits * self.scale, targets)


class RunsOut(Loss):
    """Cross entropy on a device that has no memory for more than two images at once, if it is the last rank."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = FormulaLoss(cross_entropy)

    def means(self, logits: Tensor, targets: Tensor) -> Tensor:
        is_last = not dist.is_initialized() or dist.get_rank() == dist.get_world_size() - 1
        if is_last and self.training and torch.is_grad_enabled() and len(targets) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return self.loss.means(logits, targets)

    def counts(self, targets: Tensor) -> Tensor:
        return self.loss.counts(targets)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.means(logits, targets).sum()


class Constant:
    """A rate that stays."""

    def step(self) -> None: ...
    def end_epoch(self, metric: float | None) -> None: ...
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Case:
    """What is special of a training."""

    kind: str = "class"
    model: Callable[[], nn.Module] = field(default=lambda: flat(CLASSES))
    loss: Callable[[], nn.Module] = field(default=lambda: FormulaLoss(cross_entropy))
    accumulate: int = 1
    ema: bool = False
    mix: str | None = None
    thaws: bool = False
    at_once: int | None = None
    clip_norm: float | None = None
    epochs: int = 2


def pixel_cross_entropy() -> nn.Module:
    return FormulaLoss(cross_entropy, ignore_index=IGNORED)


def dice_per_image() -> nn.Module:
    return FormulaLoss(dice_loss, per_image=True, ignore_index=IGNORED)


CASES = {
    "plain": Case(),
    "accumulated": Case(accumulate=2, clip_norm=0.5),
    "frozen, then thawed": Case(thaws=True),
    "class weights": Case(loss=lambda: FormulaLoss(cross_entropy, weight=torch.tensor([1.0, 3.0, 0.2]))),
    "moving average": Case(ema=True),
    "mixup": Case(mix="mixup", loss=lambda: MixedLoss(FormulaLoss(cross_entropy))),
    "cutmix": Case(mix="cutmix", loss=lambda: MixedLoss(FormulaLoss(cross_entropy))),
    "numbers": Case("numbers", lambda: flat(2), lambda: FormulaLoss(mse_loss)),
    "masks with an auxiliary head": Case("mask", Dense, pixel_cross_entropy),
    "dice and cross entropy": Case("mask", Dense, lambda: LossSum(dice_per_image(), pixel_cross_entropy(), 0.5)),
    "a loss that learns": Case(loss=LearnedScale),
    "parts that fit": Case(at_once=3),
    "memory that runs out on the last rank": Case(loss=RunsOut),
}


def metrics_of(kind: str) -> Any:
    return {
        "class": lambda: classification_metrics(CLASSES),
        "numbers": lambda: regression_metrics(2),
        "mask": lambda: segmentation_metrics(CLASSES, ignore_index=IGNORED),
    }[kind]()


def train(case: Case, ranks: Ranks) -> dict[str, Any]:
    """Weights, losses and metrics of a training."""
    torch.manual_seed(0)
    model, loss_fn, events = case.model(), case.loss(), []
    if case.thaws:
        model[0].requires_grad_(False)
    place = {"rank": ranks.rank, "world_size": ranks.world_size}
    parameters = [*model.parameters(), *loss_fn.parameters()]
    optimizer = torch.optim.SGD([{"params": parameters, "name": "all"}], lr=0.05, momentum=0.9)
    precision = Precision("fp32", CPU)
    mixer = Mixer(case.mix, 1.0) if case.mix else None
    learner = Learner(
        model=model,
        loss_fn=loss_fn,
        optimizer=optimizer,
        schedule=Constant(),
        batches=TrainBatches(Drawn(case.kind), batch_size=BATCH, seed=3, num_workers=0, mixer=mixer, **place),
        precision=precision,
        epochs=case.epochs,
        accumulate=case.accumulate,
        clip_norm=case.clip_norm,
        ema=EMA(model, 0.9) if case.ema else None,
        micro_batches=MicroBatches(train=case.at_once),
        ranks=ranks,
    )
    val_batches = EvalBatches(Drawn(case.kind, 11), batch_size=4, num_workers=0, **place)
    validation = Validation(
        evaluate=lambda: evaluate(
            model,
            val_batches,
            loss_fn=loss_fn,
            metrics=metrics_of(case.kind),
            precision=precision,
            ranks=ranks,
        ),
        best=BestTracker(key="val/loss", higher_is_better=False),
    )
    thaw = (lambda epoch: model[0].requires_grad_(epoch > 0)) if case.thaws else (lambda epoch: None)
    trainer = Trainer(learner, validation, Hooks(emit=events.append, before_epoch=thaw))
    assert trainer.train() == "completed"
    with learner.exported():
        weights = {name: value.clone() for name, value in [*model.state_dict().items(), *loss_fn.state_dict().items()]}
    return {
        "weights": weights,
        "losses": [e.metrics["train/loss"] for e in events if isinstance(e, TrainMetrics)],
        "norms": [e.metrics["train/grad_norm"] for e in events if isinstance(e, TrainMetrics)],
        "metrics": [dict(e.metrics) for e in events if isinstance(e, EvalMetrics)],
        "images": trainer.position.images_seen,
    }


class Given(nn.Module):
    """Some of an image's own numbers, the same whatever batch it is in."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: Tensor) -> Tensor:
        return images if self.kind == "mask" else images.flatten(1)[:, : {"class": CLASSES, "numbers": 2}[self.kind]]


def measure(kind: str, count: int, ranks: Ranks) -> dict[str, float]:
    """Metrics of a network whose output does not depend on what is beside an image."""
    place = {"rank": ranks.rank, "world_size": ranks.world_size}
    return evaluate(
        Given(kind),
        EvalBatches(Drawn(kind, count), batch_size=4, num_workers=0, **place),
        loss_fn={"class": FormulaLoss(cross_entropy), "numbers": FormulaLoss(mse_loss)}.get(kind)
        or pixel_cross_entropy(),
        metrics=metrics_of(kind),
        precision=Precision("fp32", CPU),
        ranks=ranks,
    )


MEASURED = [(kind, count) for kind in ("class", "numbers", "mask") for count in (2, 11)]  # 2: the third rank has none


def agreements(ranks: Ranks) -> dict[str, Any]:
    """What the ranks tell each other."""
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), float(ranks.rank))
    ranks.average_gradients([parameter])
    here = torch.full((3,), float(ranks.rank))
    ranks.equalise([here])

    def fails_on_the_last() -> str:
        if ranks.rank == ranks.world_size - 1:
            raise MemoryError("no room on the last rank")
        return "done"

    try:
        failed = ranks.together(fails_on_the_last)
    except MemoryError as error:
        failed = str(error)
    return {
        "sum": ranks.sum(torch.tensor([1.0, ranks.rank])).tolist(),
        "max": ranks.max(torch.tensor([ranks.rank])).tolist(),
        "gathered": ranks.gather(torch.arange(ranks.rank + 1)).tolist(),
        "shared": ranks.share({"rank": ranks.rank}),
        "agreed": ranks.agree(ranks.rank == 1, False),
        "most": ranks.most(ranks.rank),
        "together": ranks.together(lambda: ranks.rank),
        "failed": failed,
        "gradient": parameter.grad.tolist(),
        "equal": here.tolist(),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined_ranks(CPU) as ranks:
        found = {name: train(case, ranks) for name, case in CASES.items()}
        measured = {key: measure(*key, ranks) for key in MEASURED}
        torch.save((found, measured, agreements(ranks)), folder / f"rank-{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
