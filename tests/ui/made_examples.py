"""Validation pictures with their answers, as a run keeps them, written by hand: without torch and without training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from PIL import Image

from fine_tuner.runs.examples import Examples, ExampleValidation
from fine_tuner.runs.layout import RunFolder

SIDE = 16
NAMES = {"class": ["ants", "bees"], "labels": ["sea", "sky"], "numbers": ["age"], "mask": ["ground", "leaf"]}
TRUE: dict[str, list[Any]] = {
    "class": [0, 0, 1, 1], "labels": [[0], [0, 1], [], [1]], "numbers": [[1.0], [2.0], [3.0], [4.0]],
    "mask": [None] * 4,
}  # fmt: skip
POINTS = [[1.0], [1.5], [2.0], [3.0], [4.0]]


def make_examples(run: RunFolder, kind: str) -> Examples:
    """Four pictures."""
    examples = Examples.of(run)
    examples.path.mkdir(parents=True)
    Image.new("RGB", (4 * SIDE, SIDE), (90, 120, 60)).save(examples.pictures)
    if kind == "mask":
        Image.fromarray(mask_of(8)).save(examples.true_masks)
    pictures = [{"file": f"/pictures/val/{i}.jpg", "true": true} for i, true in enumerate(TRUE[kind])]
    about: dict[str, Any] = {"kind": kind, "names": NAMES[kind], "side": SIDE, "pictures": pictures}
    if kind == "numbers":
        about |= {"points": POINTS, "shown": [0, 2, 3, 4]}
    examples.about.write_text(json.dumps(about))
    return examples


def mask_of(width: int) -> np.ndarray:
    """Of each of the four squares the first ``width`` columns are class 1."""
    square = np.zeros((SIDE, SIDE), np.uint8)
    square[:, :width] = 1
    return np.tile(square, 4)


def validate(examples: Examples, kind: str, *, epoch: int, step: int, right: int = 0) -> None:
    """A validation in which the first ``right`` pictures are answered rightly, the others wrongly."""
    validation = ExampleValidation(step=step, epoch=epoch)
    said: dict[str, Any] = {}
    match kind:
        case "class":
            given = [true if i < right else 1 - true for i, true in enumerate(TRUE[kind])]
            shares = [0.75 if i < right else 0.25 for i in range(4)]
            pairs = zip(given, shares, strict=True)
            said["said"] = [{"top": [[k, 0.75], [1 - k, 0.25]], "true": true} for k, true in pairs]
        case "labels":
            said["said"] = [[[k, 0.9 if i < right else 0.2] for k in true] for i, true in enumerate(TRUE[kind])]
        case "numbers":
            said["said"] = [[true[0] + epoch] for true in TRUE[kind]]
            said["points"] = [[true + 1 / epoch] for (true,) in POINTS]
        case "mask":
            said["said"] = [right / 8] * 4
            Image.fromarray(mask_of(right)).save(examples.said_masks(validation))
    examples.said(validation).write_text(json.dumps(said))
