"""The metrics of a run's best weights over a whole split, computed as the run itself computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fine_tuner.base.errors import DataError, RunError, TrainingError
from fine_tuner.config.io import parse, read_tree
from fine_tuner.data.loading.batches import EvalBatches
from fine_tuner.data.records import DataSplits
from fine_tuner.models.saved import read_about
from fine_tuner.runs.layout import RunFolder
from fine_tuner.tasks.build import Assembly, assemble, build_dataset
from fine_tuner.training.loop.micro_batches import MicroBatches, free_memory, until_it_fits
from fine_tuner.training.loop.validation import evaluate
from fine_tuner.training.run.kept_settings import keep_code, keep_precision


def evaluate_run(run: RunFolder, split: Literal["val", "test"]) -> dict[str, Any]:
    """``run``, ``split``, ``images``, ``weights`` (step and epoch) and ``metrics``; JSON-able but for NaN.

    Those of ``val`` equal what the log has for the epoch of the best weights, bit for bit on the same machine.

    Raises:
        RunError: If the run has no best weights yet.
        DataError: If it has no such split, or its images are gone.
    """
    if not run.best_weights.exists():
        raise RunError(
            f"Run {run.id} has no checkpoint yet. Wait for the end of its first epoch, or stop it to keep one."
        )
    data = DataSplits.from_file(run.splits)
    if not data.splits.get(split):
        there = ", ".join(name for name, records in data.splits.items() if records)
        remedy = {"test": "Give the data a folder test/.", "val": "Set data.val_fraction."}[split]
        raise DataError(f"The data of run {run.id} has no split {split!r}; it has {there}. {remedy}")
    settings = keep_precision(keep_code(parse(read_tree(run.config)), run), run)
    about = read_about(run.best_weights)
    with assemble(settings, data, checkpoint=run.best_weights) as assembly:
        if about.get("precision", assembly.precision.dtype) != assembly.precision.dtype:
            assembly.precision.switch(about["precision"])  # it went over to bf16 on the way
        batches = EvalBatches(
            build_dataset(settings, data, assembly.built.preprocessing, split),
            batch_size=settings.train.batch_size,
            num_workers=settings.data.num_workers,
            pin_memory=assembly.device.type == "cuda",
        )
        metrics = _evaluated(assembly, batches, MicroBatches(evaluation=about.get("eval_batch")))
    return {
        "run": run.id,
        "split": split,
        "images": len(data.splits[split]),
        "weights": {name: about.get(name) for name in ("step", "epoch")},
        "metrics": {f"{split}/{key}": value for key, value in metrics.items()},
    }


def _evaluated(assembly: Assembly, batches: EvalBatches, micro_batches: MicroBatches) -> Mapping[str, float]:
    """Metrics, in smaller batches if memory runs out."""

    def compute() -> dict[str, float] | None:
        return evaluate(
            assembly.model, batches, loss_fn=assembly.loss_fn, metrics=assembly.metrics,
            precision=assembly.precision, micro_batches=micro_batches,
        )  # fmt: skip

    def shrink() -> None:
        free_memory(assembly.device)
        micro_batches.evaluation = micro_batches.halved("evaluation")
        if micro_batches.evaluation is None:
            raise TrainingError("Memory does not suffice for a single image. Close what else uses the device.")

    metrics = until_it_fits(compute, shrink)
    assert metrics is not None  # nobody asked to stop
    return metrics


def evaluation_text(found: dict[str, Any]) -> str:
    """For a terminal: where the weights come from, and a line per metric."""
    head = f"{found['run']}: weights of epoch {found['weights']['epoch']}, {found['images']} images of {found['split']}"
    return "\n".join([head, *(f"{key} {value:.6g}" for key, value in found["metrics"].items())])
