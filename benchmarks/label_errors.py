"""Wrong labels: how many are found among the first suspects, and what training without them gains.

    python benchmarks/label_errors.py DATA WEIGHTS [--share 0.1] [--seeds 5]

DATA has train/ and val/ of class folders, WEIGHTS is a file for squeezenet1_1. Labels of training images are flipped by
moving copies into another class's folder; validation stays clean. A frozen backbone is trained on: right labels, wrong
labels, and wrong labels with the suspects left out, with several seeds each.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from fine_tuner.cli.main import main
from fine_tuner.data.decisions import Decision, write_decisions
from fine_tuner.runs.results import results_of
from fine_tuner.runs.store import RunStore

SETTINGS = ("model.name=squeezenet1_1", "model.trainable=head", "train.epochs=5", "augment.name=none", "devices=cpu")


def run(*words: str) -> str:
    """Output of a command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(list(words))
    if code:
        raise SystemExit(f"{words} ended with {code}: {out.getvalue()[-500:]}")
    return out.getvalue()


def flip(source: Path, target: Path, share: float) -> set[str]:
    """A copy of the data with a share of the training labels wrong; names of those files."""
    shutil.copytree(source, target)
    classes = sorted(folder.name for folder in (target / "train").iterdir())
    files = sorted(path for path in (target / "train").rglob("*") if path.is_file())
    chosen = random.Random(0).sample(files, round(share * len(files)))
    for path in chosen:
        other = random.Random(path.name).choice([name for name in classes if name != path.parent.name])
        path.rename(target / "train" / other / f"flipped-{path.name}")
    return {f"flipped-{path.name}" for path in chosen}


def accuracy(store: Path, *settings: str, seeds: int) -> tuple[list[float], str]:
    """Validation accuracy of each seed, and the id of the last run."""
    found, run_id = [], ""
    for seed in range(seeds):
        known = set(RunStore(store).ids())
        run("train", "default", *SETTINGS, *settings, f"seed={seed}", "--runs", str(store))
        (run_id,) = set(RunStore(store).ids()) - known
        figures = results_of(RunStore(store).get(run_id), "val-best").read() or {}
        found.append(figures["metrics"]["val/accuracy"])
    return found, run_id


def text(values: list[float]) -> str:
    """Mean and deviation in percent."""
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.pstdev(values):.1f} %"


def compare(data: Path, weights: Path, share: float, seeds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        store, noisy = Path(place, "runs"), Path(place, "noisy")
        wrong = flip(data, noisy, share)
        common = (f"model.weights={weights}",)
        clean, _ = accuracy(store, *common, f"data.path={data}", seeds=seeds)
        before, run_id = accuracy(store, *common, f"data.path={noisy}", seeds=seeds)
        listed = json.loads(run("suspects", run_id, "--runs", str(store), "--json").splitlines()[-1])["suspects"]
        suspects = [Path(row["file"]) for row in listed if row["seems"] and row["split"] == "train"]
        for count in (len(wrong) // 2, len(wrong), 2 * len(wrong)):
            hits = sum(path.name in wrong for path in suspects[:count])
            print(f"first {count:3d} suspects: {hits} of {len(wrong)} wrong labels ({100 * hits / len(wrong):.0f} %)")
        table = Path(place, "decisions.csv")
        write_decisions(table, {str(path): Decision("leave_out") for path in suspects})
        after, _ = accuracy(store, *common, f"data.path={noisy}", f"data.decisions={table}", seeds=seeds)
        print(f"suspects in all {len(suspects)}, of them wrong {sum(path.name in wrong for path in suspects)}")
        print(f"right labels {text(clean)}; wrong labels {text(before)}; without the suspects {text(after)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    compare(given.data.resolve(), given.weights.resolve(), given.share, given.seeds)
