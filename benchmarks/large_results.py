"""Results of 50,000 pictures and 1,000 classes: what making them takes, and opening them in the page's process.

    python benchmarks/large_results.py

Seconds of processor time: figures 6.2; opened 0.02, the most confident mistakes 0.01, pictures like one 0.6, without
reading the 200 MB of logits.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.pictures import Wanted, choose, rows_of
from fine_tuner.evaluation.predictions import Predictions, write_predictions

T = TypeVar("T")
PICTURES, CLASSES, FEATURES = 50_000, 1_000, 512


def timed(what: str, function: Callable[[], T]) -> T:
    """The result, and a line with its processor time."""
    begun = time.process_time()
    result = function()
    print(f"{what:32s} {time.process_time() - begun:8.3f} s")
    return result


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    targets, names = rng.integers(0, CLASSES, PICTURES), [f"class {k}" for k in range(CLASSES)]
    logits = rng.normal(size=(PICTURES, CLASSES)).astype(np.float32)
    logits[np.arange(PICTURES), targets] += 3
    columns = {
        "logits": logits, "targets": targets, "predictions": logits.argmax(1),
        "loss": rng.random(PICTURES).astype(np.float32), "confidence": rng.random(PICTURES).astype(np.float32),
        "features": rng.normal(size=(PICTURES, FEATURES)).astype(np.float16),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        rows, figures = Path(place, "predictions.safetensors"), Path(place, "figures.json")
        write_predictions(rows, columns, [f"/data/val/{number:06d}.jpg" for number in range(PICTURES)])
        assert not {"torch", "scipy", "sklearn"} & set(sys.modules)  # as in the page's process
        found = timed("open the rows", lambda: Predictions(rows))
        for of in ("mistakes", "unsure", "worst", "near"):
            chosen = timed(f"list: {of}", lambda of=of: choose(found, TargetKind.CLASS, Wanted(of=of)))
            rows_of(found, TargetKind.CLASS, names, chosen[:24].tolist())
        from fine_tuner.evaluation.figures.make import make_figures

        made = timed("make the figures", lambda: make_figures(found, TargetKind.CLASS, names))
        figures.write_text(json.dumps(made))
        timed(f"read them ({figures.stat().st_size >> 10} kB)", lambda: json.loads(figures.read_text()))


if __name__ == "__main__":
    main()
