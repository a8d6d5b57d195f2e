"""A fifth task in one file: how many shapes a picture shows, right when the rounded number is.

``python -m tests.tasks.counting train ...`` is ``python -m fine_tuner train ...`` with the task known.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from fine_tuner.config.metric_specs import MAE, MetricSpec
from fine_tuner.config.tasks import TargetKind, TaskSpec, register_task

EXACT = MetricSpec(
    key="exact", label="exact counts", higher_is_better=True, kind="fraction", bounds=(0.0, 1.0), is_per_image=True
)
COUNTING = register_task(
    TaskSpec(
        name="counting", target=TargetKind.NUMBERS, default_loss="smooth_l1", layouts=("table",), metrics=(EXACT, MAE)
    )
)


def add() -> None:
    """The part that needs torch."""
    import torch
    from torchmetrics import Metric, MetricCollection
    from torchmetrics.regression import MeanAbsoluteError

    from fine_tuner.tasks import add_task
    from fine_tuner.tasks.base import Task

    class Exact(Metric):
        full_state_update = False

        def __init__(self) -> None:
            super().__init__()
            self.add_state("right", torch.tensor(0.0), dist_reduce_fx="sum")
            self.add_state("count", torch.tensor(0.0), dist_reduce_fx="sum")

        def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
            self.right += (outputs.round() == targets.round()).float().sum()
            self.count += targets.numel()

        def compute(self) -> torch.Tensor:
            return self.right / self.count

    def build_metrics(num_outputs: int) -> MetricCollection:
        return MetricCollection({EXACT.key: Exact(), MAE.key: MeanAbsoluteError()}, compute_groups=False)

    def describe(outputs: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
        return {"numbers": {name: round(value) for name, value in zip(names, outputs[0].tolist(), strict=True)}}

    add_task(Task(spec=COUNTING, build_metrics=build_metrics, describe=describe))


if __name__ == "__main__":
    add()
    from fine_tuner.cli.main import main

    sys.exit(main())
