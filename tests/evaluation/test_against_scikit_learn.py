"""What a run is said to be worth, beside scikit-learn on the answers that lie in its folder; and predict beside both.

Of averaged weights (EMA), with a class and a label that are not in the validation split, an unmarked label, numbers of
very different size, and batches that are not full.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.cli.main import main
from fine_tuner.evaluation.predictions import Predictions
from fine_tuner.predict import Predictor
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, read_events
from fine_tuner.runs.results import results_of

scikit = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (requirements-dev.txt)")

TINY = (
    "model.name=shufflenet_v2_x0_5", "model.weights=none", "data.image_size=32", "data.num_workers=0", "devices=cpu",
    "precision.dtype=fp32", "precision.channels_last=off", "train.batch_size=8", "train.epochs=2",
    "train.ema_decay=0.5",
)  # fmt: skip
COUNTS = {"train": 22, "val": 13}


def _pictures(folder: Path, count: int, seed: int) -> list[str]:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number:02}.png")
    return [f"{number:02}.png" for number in range(count)]


def _classes(root: Path) -> tuple[str, ...]:
    """Three classes, of which the validation split has two."""
    for split, count in COUNTS.items():
        for at, name in enumerate(("a", "b", "c") if split == "train" else ("a", "c")):
            _pictures(root / split / name, count // 3 + at, count + at)
    (root / "val" / "b").mkdir()
    return ("task=classification",)


def _table(root: Path, header: str, rows: dict[str, list[str]]) -> None:
    table = [f"image,split,{header}"]
    for split, lines in rows.items():
        names = _pictures(root / split, COUNTS[split], len(split))
        table += [f"{split}/{name},{split},{line}" for name, line in zip(names, lines, strict=True)]
    (root / "table.csv").write_text("\n".join(table) + "\n")


def _labels(root: Path) -> tuple[str, ...]:
    """Three labels, of which the validation split has two."""
    noise = np.random.default_rng(0)
    rows = {split: noise.integers(0, 2, (count, 3)) for split, count in COUNTS.items()}
    rows["val"][:, 1] = 0
    _table(root, "a,b,c", {split: [",".join(map(str, row)) for row in table] for split, table in rows.items()})
    return ("task=multilabel",)


def _numbers(root: Path) -> tuple[str, ...]:
    """Two numbers, one a hundred thousand times the other and far from 0."""
    noise = np.random.default_rng(0)
    rows = {split: noise.normal(size=(count, 2)) for split, count in COUNTS.items()}
    lines = {split: [f"{3e5 + 30 * a},{b / 1000}" for a, b in table] for split, table in rows.items()}
    _table(root, "a,b", lines)
    return ("task=regression",)


def _masks(root: Path) -> tuple[str, ...]:
    """Three classes and void; the third is not in the validation split, whose first picture has no void."""
    noise = np.random.default_rng(0)
    for split, count in COUNTS.items():
        names = _pictures(root / split / "images", count, len(split))
        (root / split / "masks").mkdir()
        for name in names:
            values = [0, 1, 2, 255] if split == "train" else [0, 1] if name == names[0] else [0, 1, 255]
            mask = noise.choice(values, (32, 32)).astype(np.uint8)
            Image.fromarray(mask).save(root / split / "masks" / name)
    return ("task=segmentation", "model.name=lraspp_mobilenet_v3_large", "data.mask_ignore=255")


MADE = {"classification": _classes, "multilabel": _labels, "regression": _numbers, "segmentation": _masks}


@pytest.fixture(params=[*list(MADE)[:3], pytest.param("segmentation", marks=pytest.mark.slow)])
def evaluated(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, RunFolder]:
    """A task, and a run that was evaluated by its best and its last weights."""
    settings = MADE[request.param](tmp_path / "data")
    words = ("train", "default", *TINY, *settings, f"data.path={tmp_path / 'data'}", "--runs", str(tmp_path / "runs"))
    assert main(list(words)) == 0
    run = RunFolder(next((tmp_path / "runs").glob("2*")))
    assert main(["evaluate", str(run.path), "--weights", "last"]) == 0
    return request.param, run


def _expected(task: str, rows: Predictions, width: int) -> dict[str, float]:
    """scikit-learn's figures of the answers."""
    if task == "segmentation":
        hits, true, said = (rows[name].sum(0) for name in ("hits", "true_pixels", "said_pixels"))
        there = (true + said) > 0
        union = (true + said - hits)[there]
        return {
            "mean_iou": float((hits[there] / union).mean()),
            "dice": float((2 * hits[there] / (true + said)[there]).mean()),
            "pixel_accuracy": float(hits.sum() / true.sum()),
        }
    targets, logits = rows["targets"], rows["logits"].astype(np.float64)
    if task == "classification":
        found = logits.argmax(1)
        among = np.union1d(targets, found)
        f1 = scikit.f1_score(targets, found, labels=among, average="macro")
        return {"accuracy": scikit.accuracy_score(targets, found), "f1": f1}
    if task == "multilabel":
        there = [k for k in range(width) if targets[:, k].any()]
        precision = [scikit.average_precision_score(targets[:, k], logits[:, k]) for k in there]
        f1 = scikit.f1_score(targets[:, there], logits[:, there] > 0, average="macro", zero_division=0)
        return {"map": float(np.mean(precision)), "f1": f1}
    each = [(targets[:, k], logits[:, k]) for k in range(width)]
    return {
        "mae": float(np.mean([scikit.mean_absolute_error(*pair) for pair in each])),
        "rmse": float(np.mean([scikit.root_mean_squared_error(*pair) for pair in each])),
        "r2": float(np.mean([scikit.r2_score(*pair) for pair in each])),
    }


def test_what_a_run_is_worth_is_scikit_learn_s_and_predict_answers_as_it_was_evaluated(
    evaluated: tuple[str, RunFolder],
) -> None:
    task, run = evaluated
    validated = [e.payload for e in read_events(run.events)[0] if isinstance(e.payload, EvalMetrics)]
    logged = {place.step: place.metrics for place in validated}
    for results in (results_of(run, folder.name) for folder in (run.path / "results").glob("val-*")):
        figures, rows = results.read(), Predictions(results.predictions)
        metrics = {key.removeprefix("val/"): value for key, value in figures["metrics"].items()}
        expected = _expected(task, rows, len(figures["names"]))
        assert {key: metrics[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert figures["metrics"] == pytest.approx(logged[figures["weights"]["step"]], rel=1e-5, nan_ok=True)
    found, predictor = Predictions(results_of(run, "val-best").predictions), Predictor.of_run(run)
    if task == "segmentation":
        shares = predictor.predict(Path(found.name(0)))["shares"]
        pixels = [round(shares[name] * 32 * 32, 3) for name in results_of(run, "val-best").read()["names"]]
        assert pixels == found["said_pixels"][0].tolist()
        assert sum(pixels) == 32 * 32
        return
    for index in (0, len(found) - 1):
        said = predictor.predict(Path(found.name(index)))
        if task == "regression":
            assert list(said["numbers"].values()) == pytest.approx(found["logits"][index].tolist(), rel=1e-6)
        else:
            of = (lambda x: np.exp(x) / np.exp(x).sum()) if task == "classification" else lambda x: 1 / (1 + np.exp(-x))
            probs = dict(zip(results_of(run, "val-best").read()["names"], of(found["logits"][index]), strict=True))
            assert said["probabilities"] == pytest.approx(probs, rel=1e-4)
