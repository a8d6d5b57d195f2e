"""The suspected images of a run: labels that are probably wrong, pictures that stand out, what tells a class alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import write_json
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.data.files.image_scan import find_twins, scan_images
from fine_tuner.data.files.images import load_image, open_image
from fine_tuner.data.records import DataSplits
from fine_tuner.evaluation.evaluate_run import evaluate_run
from fine_tuner.evaluation.predictions import Predictions
from fine_tuner.evaluation.suspects import out_of_fold, outliers, reasons_of, suspected, tells_the_class, unusual
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import BEST, is_current, results_of

SPLITS = ("train", "val")
_SIDE_PX = 96
_MOST = 400  # on the list
_TELLS = 0.5  # of what a property tells of the class, from where on it is said


def find_suspects(run: RunFolder, on_progress: OnProgress = no_progress) -> dict[str, Any]:
    """Look for them, and keep what was found as ``results/suspects.json``.

    Training images are evaluated first where they were not yet; validation images likewise.

    Returns:
        ``run``, ``images``, ``classes``, ``suspects`` (each with ``split``, ``index``, ``file``, ``label``, ``seems``
        and ``reasons``; wrong labels first, the most suspected in front, then copies that contradict each other),
        ``tells``: properties that alone tell the class, with the share.

    Raises:
        RunError: If the run does not learn one class per image, or has no weights.
        DataError: If images are gone.
    """
    found = {split: _evaluated(run, split, on_progress) for split in SPLITS if _has(run, split)}
    names = next(iter(found.values()))[1]["names"]
    places = [(split, index) for split, (rows, _) in found.items() for index in range(len(rows))]
    features = np.concatenate([rows["features"] for rows, _ in found.values()])
    targets = np.concatenate([rows["targets"] for rows, _ in found.values()])
    files = [found[split][0].name(index) for split, index in places]
    if not features.shape[1]:
        raise RunError(f"Run {run.id} is compiled, so its features were not kept. Train with precision.compile=false.")
    on_progress("looking for wrong labels", 0, len(files))
    wrong, seems = suspected(out_of_fold(features, targets, len(names)), targets)
    properties = _properties(files, DataSplits.from_file(run.splits).pixel_range, on_progress)
    copies = copies_with_other_labels(files, targets, on_progress)
    lists = [("label", wrong), ("copy with another label", copies), ("far from all others", outliers(features))]
    for key, (low, high) in _WORDS.items():
        below, above = unusual(properties[key])
        lists += [(low, below), (high, above)]
    reasons = reasons_of(len(files), [(name, indices) for name, indices in lists if name])
    said = dict(zip(wrong.tolist(), seems.tolist(), strict=True))
    others = [i for i in range(len(files)) if reasons[i] and i not in said]
    copied = set(copies.tolist())
    chosen = [*wrong.tolist(), *sorted(others, key=lambda i: (i not in copied, -len(reasons[i])))][:_MOST]
    told = {key: tells_the_class(values, targets, len(names)) for key, values in properties.items()}
    out = {
        "run": run.id,
        "images": len(files),
        "classes": names,
        "num_wrong": len(wrong),
        "suspects": [
            {
                "split": places[i][0],
                "index": places[i][1],
                "file": files[i],
                "label": names[targets[i]],
                "seems": names[said[i]] if i in said else None,
                "reasons": reasons[i],
            }
            for i in chosen
        ],
        "tells": {key: share for key, share in told.items() if share is not None and share >= _TELLS},
    }
    write_json(run.results / "suspects.json", out, indent=0)
    return out


def copies_with_other_labels(
    files: Sequence[str], targets: NDArray[np.int64], on_progress: OnProgress = no_progress
) -> NDArray[np.int64]:
    """Places of pictures, ascending, of which an equal or nearly equal one has another class."""
    paths = [Path(file) for file in files]
    alike: dict[int, list[int]] = defaultdict(list)
    for twins in find_twins(paths, scan_images(paths, on_progress), on_progress):
        alike[twins.first].append(twins.second)
    groups = [[first, *others] for first, others in alike.items()]
    found = [i for group in groups if len({int(targets[i]) for i in group}) > 1 for i in group]
    return np.unique(np.array(found, np.int64))


def _has(run: RunFolder, split: str) -> bool:
    return bool(DataSplits.from_file(run.splits).splits.get(split))


def _evaluated(run: RunFolder, split: str, on_progress: OnProgress) -> tuple[Predictions, dict[str, Any]]:
    """Rows and figures of a split, made if need be."""
    results = results_of(run, f"{split}-{BEST}")
    figures = results.read()
    if not figures or not is_current(figures, run):
        evaluate_run(run, split, on_progress=on_progress)
        figures = results.read()
    assert figures is not None
    if figures["target"] != "class":
        raise RunError(f"Run {run.id} does not learn one class per image, which is what labels are suspected of.")
    return Predictions(results.predictions), figures


_WORDS = {
    "brightness": ("dark", "bright"),
    "sharpness": ("blurred", ""),
    "size": ("small", "large"),
    "shape": ("tall", "wide"),
}


def _properties(
    files: list[str], pixel_range: tuple[int, int] | None, on_progress: OnProgress
) -> dict[str, NDArray[Any]]:
    """One number an image of each: mean grey, logarithms of sharpness, pixels, and width over height."""
    rows = []
    for number, file in enumerate(files):
        rows.append(_properties_of(Path(file), pixel_range))
        if number % 32 == 0:
            on_progress("looking at pictures", number, len(files))
    return dict(zip(_WORDS, np.array(rows).T, strict=True))


def _properties_of(file: Path, pixel_range: tuple[int, int] | None) -> tuple[float, float, float, float]:
    with open_image(file) as image:
        width, height = image.size
    picture = load_image(file, min_side_px=_SIDE_PX, pixel_range=pixel_range)
    grey = picture.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    middle = np.asarray(grey, np.float64)
    around = middle[:-2, 1:-1] + middle[2:, 1:-1] + middle[1:-1, :-2] + middle[1:-1, 2:]
    sharpness = float(np.log((4 * middle[1:-1, 1:-1] - around).std() + 0.1))  # the spread of the Laplacian
    return float(middle.mean()), sharpness, float(np.log(width * height)), float(np.log(width / height))
