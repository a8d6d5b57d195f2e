"""What distinguishes one task from another, as a small object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.metric_specs import LOSS, MetricSpec


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One task.

    Attributes:
        metrics: Specs of the task's metrics, most telling first; the first chooses the best checkpoint.
        build_metrics: From the number of outputs.
        describe: From the raw output of one image ``(1, ...)`` and the names of classes or numbers, a JSON-able answer
            for a person.
    """

    name: str
    metrics: tuple[MetricSpec, ...]
    build_metrics: Callable[[int], MetricCollection]
    describe: Callable[[Tensor, Sequence[str]], dict[str, Any]]

    @property
    def best(self) -> MetricSpec:
        """The metric by which the best checkpoint is chosen, unless the user wants another."""
        return self.metrics[0]

    def best_by(self, wanted: str, num_outputs: int) -> MetricSpec:
        """The metric that ``train.best_metric`` names: ``auto``, or a key with its split such as ``val/loss``.

        Raises:
            ConfigError: If there is no such metric.
        """
        if wanted == "auto":
            return self.best
        known = {f"val/{m.key}": m for m in (*self.metrics, LOSS) if num_outputs >= m.min_outputs}
        if wanted not in known:
            message = f"{wanted!r} is not measured here. Choose auto, {', '.join(known)}."
            raise ConfigError({"train.best_metric": message})
        return known[wanted]

    def spec(self, key: str) -> MetricSpec:
        """The spec of ``key`` (without the split)."""
        return next(m for m in (*self.metrics, LOSS) if m.key == key)
