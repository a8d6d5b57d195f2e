"""Every number that a run records: its key, its name, which way is better, how it is printed and drawn.

Nothing here computes: ``fine_tuner/metrics.py`` does. Views, sentences and the page's scripts read a number by its
spec, so that a fact of a metric is spelled here and nowhere else. A key has its split in front: ``accuracy`` of the
validation split is recorded as ``val/accuracy``. An error of one of several numbers has that behind: ``val/mae/age``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Kind = Literal["number", "fraction", "count", "speed", "memory", "rate"]  # as assets/base/format.js prints them
KINDS: tuple[str, ...] = get_args(Kind)
_SPLITS = {"val": "validation ", "train": "training ", "test": "test "}


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """How one number is read.

    Attributes:
        key: Without the split.
        label: As within a sentence: ``mean IoU``.
        higher_is_better: None where neither is.
        kind: How it is printed, and the unit of its axis; a fraction is printed in percent.
        bounds: Lowest and highest possible value; None where there is none.
        is_per_image: The fraction of images that are right, so it has a binomial interval.
        is_in_target_units: An error in the unit of the numbers that are predicted.
        min_outputs: Measured only with at least as many outputs.
    """

    key: str
    label: str
    higher_is_better: bool | None = None
    kind: Kind = "number"
    bounds: tuple[float | None, float | None] = (0.0, None)
    is_per_image: bool = False
    is_in_target_units: bool = False
    min_outputs: int = 0

    def facts(self) -> dict[str, Any]:
        """What a page needs to read the number, as plain values; the key is what it is looked up by."""
        return {name: value for name, value in asdict(self).items() if name not in ("key", "min_outputs")}


def _fraction(key: str, label: str, **more: Any) -> MetricSpec:
    return MetricSpec(key=key, label=label, higher_is_better=True, kind="fraction", bounds=(0.0, 1.0), **more)


def _error(key: str, label: str) -> MetricSpec:
    return MetricSpec(key=key, label=label, higher_is_better=False, is_in_target_units=True)


LOSS = MetricSpec(key="loss", label="loss", higher_is_better=False)
ACCURACY = _fraction("accuracy", "accuracy", is_per_image=True)
TOP5 = _fraction("top5", "top-5 accuracy", is_per_image=True, min_outputs=6)
MACRO_F1 = _fraction("f1", "macro F1")
MAP = _fraction("map", "mean average precision")
MAE = _error("mae", "mean absolute error")
RMSE = _error("rmse", "RMSE")
R2 = MetricSpec(key="r2", label="R²", higher_is_better=True, bounds=(None, 1.0))
MEAN_IOU = _fraction("mean_iou", "mean IoU")
DICE = _fraction("dice", "Dice")
PIXEL_ACCURACY = _fraction("pixel_accuracy", "pixel accuracy")

# Of a validation, the more telling first: without another word the best weights are those of the first that is there.
QUALITY = (ACCURACY, MEAN_IOU, MAP, MAE, MACRO_F1, TOP5, DICE, PIXEL_ACCURACY, RMSE, R2, LOSS)
TRAINING = (
    MetricSpec(key="images_per_second", label="images/s", higher_is_better=True, kind="speed"),
    MetricSpec(key="grad_norm", label="gradient norm"),
    MetricSpec(key="loss_scale", label="loss scale"),
    MetricSpec(key="skipped_steps", label="skipped steps", kind="count"),
)
MEMORY = tuple(
    MetricSpec(key=f"{name}_mib", label=label, kind="memory")
    for name, label in (
        ("allocated", "allocated"), ("reserved", "reserved"), ("process", "process"), ("device", "whole device"),
    )
)  # fmt: skip
METRIC_SPECS: dict[str, MetricSpec] = {spec.key: spec for spec in (*QUALITY, *TRAINING, *MEMORY)}


def register_metrics(specs: Iterable[MetricSpec]) -> None:
    """Make metrics of another task known.

    Raises:
        ValueError: If a key has another spec already.
    """
    for spec in specs:
        if METRIC_SPECS.setdefault(spec.key, spec) != spec:
            raise ValueError(f"metric {spec.key!r} has two specs")


def metric_of(key: str) -> MetricSpec:
    """The spec of a key with or without its split; an unknown key is a number, called as it is spelled.

    >>> metric_of("val/mean_iou").label, metric_of("train/my_number").label
    ('mean IoU', 'my number')
    """
    head, _, rest = key.partition("/")
    leaf = rest if rest and head not in METRIC_SPECS else key
    known, _, column = leaf.partition("/")
    if column and known in METRIC_SPECS:
        return of_column(METRIC_SPECS[known], column)
    return METRIC_SPECS.get(leaf) or MetricSpec(key=leaf, label=leaf.replace("_", " "), bounds=(None, None))


def of_column(spec: MetricSpec, column: str) -> MetricSpec:
    """The spec of a metric of one of several numbers.

    >>> of_column(MAE, "age").key, of_column(MAE, "age").label
    ('mae/age', 'mean absolute error of age')
    """
    return replace(spec, key=f"{spec.key}/{column}", label=f"{spec.label} of {column}")


def metric_name(key: str) -> str:
    """``"validation accuracy"`` for ``val/accuracy``."""
    return _SPLITS.get(key.partition("/")[0], "") + metric_of(key).label


def metric_text(key: str, value: float) -> str:
    """``"94.8 %"`` for fractions, else four digits."""
    return f"{100 * value:.1f} %" if metric_of(key).kind == "fraction" else f"{value:.4g}"


def metric_table() -> Mapping[str, dict[str, Any]]:
    """Key to facts of every metric that is known: what the page's scripts read numbers by."""
    return {spec.key: spec.facts() for spec in METRIC_SPECS.values()}
