"""A run evaluated: rows are the network's, results lie in its folder, and what is wrong is said in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fine_tuner.base.errors import DataError, RunError
from fine_tuner.cli.main import main
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.evaluation.evaluate_run import evaluate_run
from fine_tuner.evaluation.predictions import Predictions, write_predictions
from fine_tuner.metrics import overlap_of_each
from fine_tuner.predict import Predictor
from fine_tuner.runs.examples import Examples
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import is_current, kept_weights, list_results, results_of
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.result_words import mistakes_in_words, result_in_words

TINY = (
    "model.name=shufflenet_v2_x0_5", "model.weights=none", "data.image_size=32", "data.num_workers=0", "devices=cpu",
    "precision.dtype=fp32", "precision.channels_last=off", "train.batch_size=8", "train.epochs=1",
)  # fmt: skip

TURNED = Image.Exif()
TURNED[0x0112] = 6
KINDS: tuple[tuple[str, Callable[[Image.Image, Path], None]], ...] = (
    (".png", Image.Image.save),
    (".jpg", lambda image, path: image.resize((1300, 900)).save(path)),  # decoded at an eighth of its size
    (".jpeg", lambda image, path: image.save(path, exif=TURNED)),
    (".gif", lambda image, path: image.quantize(64).save(path)),
    (".tif", lambda image, path: image.save(path)),
    (".tiff", lambda image, path: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16).save(path)),
    (".webp", lambda image, path: image.convert("RGBA").save(path)),
    (".bmp", lambda image, path: image.convert("L").save(path)),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of one epoch on pictures of two colours, with a test folder, trained by the command line.

    No two pictures of a class in the validation split are files of one kind.
    """
    root = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 8), ("test", 3)):
        for name, channel in (("red", 0), ("blue", 2)):
            (root / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 160, (90, 130, 3), dtype=np.uint8)
                pixels[..., channel] |= 96
                ending, write = KINDS[number] if split == "val" else (".png", Image.Image.save)
                write(Image.fromarray(pixels), root / "data" / split / name / f"{number}{ending}")
    assert main(["train", "default", f"data.path={root / 'data'}", *TINY, "--runs", str(root / "runs")]) == 0
    return RunFolder(next((root / "runs").glob("2*")))


def test_a_run_that_is_complete_has_results_of_its_best_weights(run: RunFolder) -> None:
    (results,) = list_results(run)
    figures = results.read()
    assert results.name == "val-best"
    assert is_current(figures, run)
    logged = RunStore(run.path.parent).view(run.id).best
    assert figures["metrics"][logged.key] == logged.value
    assert figures["weights"]["step"] == logged.step
    assert figures["words"] == result_in_words(figures)
    assert mistakes_in_words(run).lower() in figures["words"]
    assert mistakes_in_words(run)
    assert figures["images"] == 16


def test_rows_are_what_the_network_says_of_each_picture_alone(run: RunFolder) -> None:
    found, predictor = Predictions(results_of(run, "val-best").predictions), Predictor.of_run(run)
    names = results_of(run, "val-best").read()["names"]
    assert found["targets"].shape == (2 * len(KINDS),)
    for index in range(2 * len(KINDS)):
        said = predictor.predict(Path(found.name(index)))
        assert said["label"] == names[found["predictions"][index]]
        assert said["probabilities"][said["label"]] == pytest.approx(found["confidence"][index], rel=1e-4)
        assert Path(found.name(index)).parent.name == names[found["targets"][index]]
    logits = torch.from_numpy(found["logits"])
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(found["targets"]), reduction="none")
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def test_features_through_the_output_layer_are_the_logits(run: RunFolder) -> None:
    found = Predictions(results_of(run, "val-best").predictions)
    from safetensors.torch import load_file

    weights = load_file(run.best_weights)
    features = torch.from_numpy(found["features"]).float()
    logits = features @ weights["fc.weight"].T + weights["fc.bias"]
    np.testing.assert_allclose(logits, found["logits"], atol=5e-3, err_msg="features are kept in half precision")


def test_test_images_kept_checkpoints_and_other_folders_are_evaluated(run: RunFolder, tmp_path: Path, capsys) -> None:
    assert main(["evaluate", str(run.path), "--split", "test", "--weights", "last", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    last = next(name for name in kept_weights(run) if name != "best")
    assert (found["images"], found["weights"]["name"]) == (6, last)
    assert Path(found["results"]).name == f"test-{last}"
    other = tmp_path / "other"
    shutil.copytree(run.path.parent.parent / "data" / "val", other)
    (other / "red").rename(other / "Red")  # sorted before blue: the classes' order is the run's
    (other / "Red").rename(other / "red")
    there = evaluate_run(run, data=str(other))
    assert there["images"] == 16
    (accuracy,) = [value for key, value in there["metrics"].items() if key.endswith("/accuracy")]
    assert accuracy == results_of(run, "val-best").read()["metrics"]["val/accuracy"]


def test_what_cannot_be_evaluated_is_said_and_leaves_the_results_alone(run: RunFolder, tmp_path: Path) -> None:
    before = results_of(run, "val-best").figures.read_bytes()
    with pytest.raises(RunError, match=r"keeps no weights 'step-99'; it has best, step-0"):
        evaluate_run(run, weights="step-99")
    with pytest.raises(RunError, match="is no evaluation of a run"):
        results_of(run, "../../etc")
    wrong = tmp_path / "wrong"
    for name in ("red", "green"):
        (wrong / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), name).save(wrong / name / "0.png")
        Image.new("RGB", (32, 30), name).save(wrong / name / "1.png")
    with pytest.raises(DataError, match=r"'green', which the run does not know: it has blue, red"):
        evaluate_run(run, data=str(wrong))
    data = run.path.parent.parent / "data"
    data.rename(data.with_name("gone"))
    try:
        with pytest.raises(DataError, match="is not there any more"):
            evaluate_run(run)
    finally:
        data.with_name("gone").rename(data)
    assert results_of(run, "val-best").figures.read_bytes() == before
    assert not list(run.results.glob(".making*"))


def test_results_of_weights_that_were_replaced_are_known_to_be_old(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / run.id))
    figures = results_of(copy, "val-best").read()
    assert is_current(figures, copy)
    copy.best_weights.write_bytes(copy.best_weights.read_bytes() + b" ")
    assert not is_current(figures, copy)
    assert mistakes_in_words(copy) == ""


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no weights yet"):
        evaluate_run(RunFolder(tmp_path))


def test_names_and_columns_come_back_whatever_they_hold(tmp_path: Path) -> None:
    names = ["a.png", "", "ü/\udcff\n.jpg"]
    write_predictions(tmp_path / "p", {"loss": np.float32([1, 2, np.nan])}, names)
    found = Predictions(tmp_path / "p")
    assert [found.name(index) for index in range(len(found))] == names
    assert np.isnan(found["loss"][2])
    (tmp_path / "p").write_bytes((tmp_path / "p").read_bytes()[:-3])
    with pytest.raises(RunError, match=r"is damaged .* Evaluate the run once more"):
        Predictions(tmp_path / "p")


def test_the_example_pictures_of_a_validation_are_answered_as_by_an_evaluation(run: RunFolder) -> None:
    examples = Examples.of(run)
    about, (validation,) = examples.read(), examples.validations()
    rows = json.loads(examples.said(validation).read_text())["said"]
    found = Predictions(results_of(run, "val-best").predictions)
    by_file = {
        found.name(index): torch.from_numpy(found.row("logits", index)).softmax(0).tolist()
        for index in range(len(found))
    }
    assert len(rows) == len(about["pictures"]) == len(found)
    for picture, row in zip(about["pictures"], rows, strict=True):
        probs = by_file[picture["file"]]
        assert [p for _, p in row["top"]] == pytest.approx(sorted(probs, reverse=True), rel=1e-3)
        assert row["true"] == pytest.approx(probs[picture["true"]], rel=1e-3)


def test_ignored_pixels_count_nowhere() -> None:
    said, true = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 1], [0, IGNORE_INDEX]]])
    columns = overlap_of_each(said, true, num_classes=3, ignore_index=IGNORE_INDEX)
    assert columns["hits"].tolist() == [[1, 1, 0]]
    assert columns["true_pixels"].tolist() == [[2, 1, 0]]
    assert columns["said_pixels"].tolist() == [[1, 2, 0]]
    assert columns["loss"].tolist() == [0.5]  # IoU 1/2 of both classes that are there


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            {"target": "class", "images": 4, "right": 4, "names": ["a"], "confusion": {"cells": [[0, 0, 4]]}},
            "All 4 right.",
        ),
        (
            {
                "target": "numbers", "images": 87,
                "numbers": [{"name": "rbc", "mae": [3.26, 3, 4]}], "headline": [],
            },
            "Off by 3.26 on average over 87 images.",
        ),
        (
            {
                "target": "mask", "images": 2, "headline": [{"key": "mean_iou", "value": [0.5, 0.4, 0.6]}],
                "classes": [{"name": "sky", "iou": [0.9, 0, 1]}, {"name": "bird", "iou": [0.1, 0, 1]}],
            },
            "What is marked and what is there overlap by 50.0 %; bird least, by 10.0 %.",
        ),
        (
            {
                "target": "labels", "images": 9, "headline": [{"key": "map", "value": [0.75, 0, 1]}],
                "classes": [{"name": "cat", "images": 4, "right": 1}, {"name": "dog", "images": 2, "right": 2}],
            },
            "Mean average precision 75.0 %; cat is missed in 3 of 4 images.",
        ),
        ({"target": "class", "images": 0}, "There was no image to evaluate."),
    ],
)  # fmt: skip
def test_results_in_words(figures: dict, words: str) -> None:
    assert result_in_words(figures) == words
