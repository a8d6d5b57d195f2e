"""Results as an evaluation writes them, of pictures drawn here: without torch and without training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.special import softmax

from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.figures.make import make_figures
from fine_tuner.evaluation.map import map_of
from fine_tuner.evaluation.predictions import Predictions, write_predictions
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import Results, results_of, stamp_of
from fine_tuner.runs.view.result_words import result_in_words

COUNT = 24
NAMES = ("ants", "bees", "wasps")


def draw(folder: Path, count: int = COUNT) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:02d}.png" for number in range(count)]
    for number, file in enumerate(files):
        Image.new("RGB", (40, 30 + number), (10 * number % 255, 90, 200 - 5 * number)).save(file)
    return [str(file) for file in files]


def make_results(run: RunFolder, pictures: Path, kind: TargetKind, split: str = "val", confused: int = 5) -> Results:
    """Class ``k`` is every third picture; ``confused`` of the first class are taken for the second."""
    rng, files = np.random.default_rng(0), draw(pictures)
    run.best_weights.parent.mkdir(parents=True, exist_ok=True)
    if not run.best_weights.exists():
        run.best_weights.write_bytes(b"weights")
    results = results_of(run, f"{split}-best")
    results.masks.mkdir(parents=True, exist_ok=True)
    targets = np.arange(COUNT) % 3
    features = (np.eye(3)[targets] @ rng.normal(size=(3, 8)) * 4 + rng.normal(size=(COUNT, 8))).astype(np.float16)
    columns = {"features": features, "map": map_of(features), "loss": np.linspace(1, 0, COUNT, dtype=np.float32)}
    if kind is TargetKind.CLASS:
        said = targets.copy()
        said[np.flatnonzero(targets == 0)[:confused]] = 1
        logits = (rng.normal(size=(COUNT, 3)) + 4 * np.eye(3)[said]).astype(np.float32)
        logits[np.arange(COUNT), said] = logits.max(1) + 0.1
        confidence = softmax(logits, 1).max(1).astype(np.float32)
        columns |= {"logits": logits, "targets": targets, "predictions": said, "confidence": confidence}
    elif kind is TargetKind.LABELS:
        truth = rng.random((COUNT, 3)) < 0.5
        columns |= {"logits": (rng.normal(size=truth.shape) + 2 * truth - 1).astype(np.float32)}
        columns |= {"targets": truth.astype(np.uint8)}
    elif kind is TargetKind.NUMBERS:
        truth = rng.normal(size=(COUNT, 3))
        columns |= {"targets": truth, "logits": (truth + rng.normal(size=truth.shape) / 3).astype(np.float32)}
    else:
        pixels = rng.integers(1, 9, (COUNT, 3))
        columns |= {"hits": pixels, "true_pixels": pixels + 3, "said_pixels": pixels + 2}
        for index in range(COUNT):
            for is_true in (False, True):
                mask = np.zeros((32, 32), np.uint8)
                mask[8 : 20 + 4 * is_true, 8:20] = 1
                Image.fromarray(mask).save(results.mask(index, is_true=is_true))
    write_predictions(results.predictions, columns, files)
    figures = make_figures(Predictions(results.predictions), kind, NAMES)
    about = {
        "v": 1, "run": run.id, "split": split, "data": "", "made": 1.0, "metrics": {},
        "words": result_in_words(figures),
        "weights": {"name": "best", "epoch": 3, "step": 48, "stamp": stamp_of(run.best_weights)},
    }  # fmt: skip
    results.figures.write_text(json.dumps(figures | about))
    run.splits.parent.mkdir(exist_ok=True)
    rows = [{"image": Path(file).name, "target": 0} for file in files]
    run.splits.write_text(json.dumps({"root": str(pictures), "splits": {split: rows}}))
    return results
