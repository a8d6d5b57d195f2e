"""What a network can learn of an image: one ``TaskSpec`` for each task, without torch.

What decides how data is read, which networks and losses fit and what is measured is said here, so that no other module
asks for a task by its name. Most of it follows from the kind of target that an image has (``TargetKind``); the part
of a task that needs torch is its file in ``fine_tuner/tasks``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from fine_tuner.config.metric_specs import (
    ACCURACY,
    DICE,
    LOSS,
    MACRO_F1,
    MAE,
    MAP,
    MEAN_IOU,
    PIXEL_ACCURACY,
    R2,
    RMSE,
    TOP5,
    MetricSpec,
    of_column,
    register_metrics,
)


class TargetKind(Enum):
    """What an image is labelled with; decides the shapes of output and target, see ``losses/templates.py``."""

    CLASS = "class"  # one of K classes: (B,) int64
    LABELS = "labels"  # any of K labels: (B, K) float of 0 and 1
    NUMBERS = "numbers"  # D numbers: (B, D) float
    MASK = "mask"  # one of K classes per pixel: (B, H, W) int64


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One task.

    Attributes:
        name: As in the settings.
        target: What an image is labelled with.
        default_loss: The loss where the settings name none.
        layouts: Forms of data that serve it, the most telling first.
        metrics: The most telling first; the first chooses the best checkpoint.
        default_network: On the page, where the default of the settings does not serve; "" where it does.
    """

    name: str
    target: TargetKind
    default_loss: str
    layouts: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    default_network: str = ""

    @property
    def best(self) -> MetricSpec:
        """The metric by which the best checkpoint is chosen, unless the user wants another."""
        return self.metrics[0]

    def measured(self, names: Sequence[str]) -> dict[str, MetricSpec]:
        """Key with its split to spec of all that a validation measures, the loss before what is said of each number.

        Args:
            names: Of the outputs.
        """
        specs = [m for m in (*self.metrics, LOSS) if len(names) >= m.min_outputs]
        return {f"val/{m.key}": m for m in (*specs, *self.measured_of_each(names))}

    def measured_of_each(self, names: Sequence[str]) -> list[MetricSpec]:
        """What is measured of each of several numbers: the errors in their units, which a mean over units hides."""
        if self.target is not TargetKind.NUMBERS or len(names) < 2:
            return []
        return [of_column(m, name) for m in self.metrics if m.is_in_target_units for name in names]


_TASKS: dict[str, TaskSpec] = {}
TASK_SPECS: Mapping[str, TaskSpec] = _TASKS


def register_task(spec: TaskSpec) -> TaskSpec:
    """Make a task known; before the settings are imported, which offer the tasks that are known then.

    Raises:
        ValueError: If there is a task of this name, or one of its metrics has another spec.
    """
    if spec.name in _TASKS:
        raise ValueError(f"task {spec.name!r} is registered twice")
    register_metrics(spec.metrics)
    _TASKS[spec.name] = spec
    return spec


CLASSIFICATION = register_task(
    TaskSpec(
        name="classification", target=TargetKind.CLASS, default_loss="cross_entropy", layouts=("classes", "table"),
        metrics=(ACCURACY, MACRO_F1, TOP5),
    )
)  # fmt: skip
MULTILABEL = register_task(
    TaskSpec(
        name="multilabel", target=TargetKind.LABELS, default_loss="binary_cross_entropy", layouts=("table", "objects"),
        metrics=(MAP, MACRO_F1),
    )
)  # fmt: skip
REGRESSION = register_task(
    TaskSpec(
        name="regression", target=TargetKind.NUMBERS, default_loss="mse", layouts=("table",), metrics=(MAE, RMSE, R2)
    )
)
SEGMENTATION = register_task(
    TaskSpec(
        name="segmentation", target=TargetKind.MASK, default_loss="dice_cross_entropy",
        layouts=("masks", "table", "objects"),
        metrics=(MEAN_IOU, DICE, PIXEL_ACCURACY), default_network="lraspp_mobilenet_v3_large",
    )
)  # fmt: skip
BUILT_IN = tuple(_TASKS)  # each has its file in ``fine_tuner/tasks``
DEFAULT_TASK = CLASSIFICATION.name


def target_kind(task: str) -> TargetKind:
    """What an image is labelled with for a task."""
    return TASK_SPECS[task].target


def default_loss(task: str) -> str:
    """The loss of a task where the settings name none; of a task that is not known, that of the default task."""
    return TASK_SPECS.get(task, TASK_SPECS[DEFAULT_TASK]).default_loss


def tasks_with(*targets: TargetKind) -> tuple[str, ...]:
    """Names of the tasks that have one of these targets."""
    return tuple(name for name, spec in TASK_SPECS.items() if spec.target in targets)


def networks_task(task: str) -> str:
    """The task by which torchvision files the networks for ``task``: those with a mask as output, and all others."""
    return (SEGMENTATION if target_kind(task) is TargetKind.MASK else CLASSIFICATION).name
