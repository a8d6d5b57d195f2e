"""The part of a task that computes, beside what ``config/tasks.py`` says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.metric_specs import MetricSpec
from fine_tuner.config.tasks import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    Attributes:
        spec: What it is.
        build_metrics: From the number of outputs; a function, or a ``partial`` of one with plain keyword arguments.
        names_numbers: ``build_metrics`` also takes ``names``, those of the outputs.
        describe: From the raw output of one image ``(1, ...)`` and the names of classes or numbers, a JSON-able answer
            for a person.
    """

    spec: TaskSpec
    build_metrics: Callable[..., MetricCollection]
    describe: Callable[[Tensor, Sequence[str]], dict[str, Any]]
    names_numbers: bool = False

    @property
    def name(self) -> str:
        """As in the settings."""
        return self.spec.name

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """The most telling first."""
        return self.spec.metrics

    def arguments_of_metrics(self, names: Sequence[str]) -> dict[str, Any]:
        """Keyword arguments of ``build_metrics`` beside the number of outputs.

        Args:
            names: Of the outputs.
        """
        fixed = dict(getattr(self.build_metrics, "keywords", {}))
        return fixed | ({"names": tuple(names)} if self.names_numbers and len(names) > 1 else {})

    def best_by(self, wanted: str, names: Sequence[str]) -> MetricSpec:
        """The metric that ``train.best_metric`` names: ``auto``, or a key with its split such as ``val/loss``.

        Args:
            wanted: By the user.
            names: Of the outputs.

        Raises:
            ConfigError: If there is no such metric.
        """
        if wanted == "auto":
            return self.spec.best
        known = self.spec.measured(names)
        if wanted not in known:
            message = f"{wanted!r} is not measured here. Choose auto, {', '.join(known)}."
            raise ConfigError({"train.best_metric": message})
        return known[wanted]
