"""A run evaluated: the metrics as the run itself computes them, a row for each image, and the figures that follow."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.base.files import strict, write_json
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.config.io import parse, read_tree
from fine_tuner.config.tasks import target_kind
from fine_tuner.data.loading.batches import EvalBatches
from fine_tuner.data.records import DataSplits
from fine_tuner.evaluation.figures.make import make_figures
from fine_tuner.evaluation.map import map_of
from fine_tuner.evaluation.one_pass import RowCollector, pass_over
from fine_tuner.evaluation.other_data import read_other, split_name
from fine_tuner.evaluation.predictions import Predictions, write_predictions
from fine_tuner.models.saved import load_saved, read_about
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import BEST, Results, find_weights, results_of, stamp_of
from fine_tuner.runs.view.result_words import result_in_words
from fine_tuner.tasks.build import Assembly, assemble, build_dataset
from fine_tuner.training.loop.micro_batches import MicroBatches
from fine_tuner.training.run.kept_settings import keep_code, keep_precision

_REMEDIES = {"test": "Give the data a folder test/.", "val": "Set data.val_fraction."}


def evaluate_run(
    run: RunFolder, split: str = "val", *, weights: str = BEST, data: str = "", on_progress: OnProgress = no_progress
) -> dict[str, Any]:
    """Evaluate and keep the results in the run's folder.

    Args:
        run: Its folder.
        split: ``val``, ``test`` or ``train``; not used with ``data``.
        weights: See ``runs.results.find_weights``.
        data: A folder or table of other images, whose classes must be among the run's; empty: the run's own.
        on_progress: Told how many images are done.

    Returns:
        ``run``, ``split``, ``images``, ``weights`` (name, step and epoch), ``metrics``, ``words`` and ``results``, the
        folder; JSON-able but for NaN. Metrics of ``val`` equal what the log has for the epoch of these weights, bit for
        bit on the same machine.

    Raises:
        RunError: If the run has no such weights.
        DataError: If it has no such split, or images are gone, or ``data`` does not fit.
    """
    name, file = find_weights(run, weights)
    settings = keep_precision(keep_code(parse(read_tree(run.config)), run), run)
    own = DataSplits.from_file(run.splits)
    used = read_other(data, own, settings) if data else own
    split = split_name(data) if data else split
    _require(used, split, run)
    with assemble(settings, own, checkpoint=file) as assembly:
        found = _write(run, assembly, used, split, name, file, data_path=data, on_progress=on_progress)
    assert found is not None  # nobody asked to stop
    return found


def evaluate_at_end(
    run: RunFolder, assembly: Assembly, on_progress: OnProgress, should_stop: Callable[[], bool]
) -> dict[str, Any] | None:
    """The same for the best weights of a run that has just been trained, on its validation images.

    Args:
        run: Its folder.
        assembly: What it was trained with. Its network has the best weights afterwards.
        on_progress: As above.
        should_stop: Asked before each batch; then nothing is kept.

    Returns:
        As above; None if there is nothing to evaluate, or it was stopped.
    """
    if not run.best_weights.is_file() or not assembly.data.splits.get("val"):
        return None
    load_saved(run.best_weights, assembly.model)
    return _write(
        run, assembly, assembly.data, "val", BEST, run.best_weights, on_progress=on_progress, should_stop=should_stop
    )


def _require(data: DataSplits, split: str, run: RunFolder) -> None:
    if data.splits.get(split):
        return
    there = ", ".join(name for name, records in data.splits.items() if records)
    remedy = _REMEDIES.get(split, f"Choose one of {there}.")
    raise DataError(f"The data of run {run.id} has no split {split!r}; it has {there}. {remedy}")


def _write(
    run: RunFolder, assembly: Assembly, data: DataSplits, split: str, weights: str, file: Path, *,
    data_path: str = "", on_progress: OnProgress, should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:  # fmt: skip
    made, began, about, stamp = time.time(), time.monotonic(), read_about(file), stamp_of(file)
    if about.get("precision", assembly.precision.dtype) != assembly.precision.dtype:
        assembly.precision.switch(about["precision"])  # it went over to bf16 on the way
    settings, kind = assembly.settings, target_kind(assembly.settings.task)
    batches = EvalBatches(
        build_dataset(settings, data, assembly.built.preprocessing, split),
        batch_size=settings.train.batch_size,
        num_workers=settings.data.num_workers,
        pin_memory=assembly.device.type == "cuda",
    )
    records = data.splits[split]
    results = results_of(run, f"{split}-{weights}")
    results.path.parent.mkdir(exist_ok=True)
    draft = Results(Path(tempfile.mkdtemp(prefix=".making-", dir=results.path.parent)))
    try:
        rows = RowCollector(kind, draft, on_progress=lambda done: on_progress("evaluating", done, len(records)))
        metrics = pass_over(assembly, batches, rows, MicroBatches(evaluation=about.get("eval_batch")), should_stop)
        if metrics is None:
            return None
        columns = rows.columns()
        columns["map"] = map_of(columns["features"])
        write_predictions(draft.predictions, columns, [str(record.image) for record in records])
        figures = make_figures(Predictions(draft.predictions), kind, data.output_names)
        found = {
            "run": run.id,
            "split": split,
            "images": len(records),
            "weights": {"name": weights, "stamp": stamp, **{key: about.get(key) for key in ("step", "epoch")}},
            "pixel_range": data.pixel_range,
            "metrics": {f"{split}/{key}": value for key, value in metrics.items()},
        }
        words = result_in_words(figures)
        more = {"v": 1, "task": settings.task, "data": data_path, "made": made, "seconds": time.monotonic() - began}
        write_json(draft.figures, strict(figures | found | more | {"words": words}), indent=0)
        shutil.rmtree(results.path, ignore_errors=True)
        draft.path.rename(results.path)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)
    return found | {"words": words, "results": str(results.path)}


def evaluation_text(found: dict[str, Any]) -> str:
    """For a terminal: where the weights come from, a line per metric, and what it means."""
    head = f"{found['run']}: weights of epoch {found['weights']['epoch']}, {found['images']} images of {found['split']}"
    lines = (f"{key} {value:.6g}" for key, value in found["metrics"].items())
    return "\n".join([head, *lines, found["words"], f"results: {found['results']}"])
