"""Networks for other runtimes: the same answers as PyTorch gives, from code that does not know this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from fine_tuner.cli.main import main
from fine_tuner.config.tasks import TASK_SPECS
from fine_tuner.data.loading.batches import load_input
from fine_tuner.export.networks.network import RunNetwork
from fine_tuner.runs.layout import RunFolder
from tests.export.conftest import answer_of, numbers_of


def export(run: RunFolder, *words: str) -> dict:
    from contextlib import redirect_stdout
    from io import StringIO

    out = StringIO()
    with redirect_stdout(out):
        code = main(["export", str(run.path), *words, "--json"])
    return {"code": code, **json.loads(out.getvalue().splitlines()[-1])}


def a_picture(folder: Path) -> Path:
    """Higher than wide, and smooth: what resizing and JPEG do to it is small."""
    x, y = np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 255, 80))
    Image.fromarray(np.stack([x, y, (x + y) / 2], 2).astype(np.uint8)).save(folder / "picture.jpg", quality=98)
    return folder / "picture.jpg"


CASES = [
    pytest.param(task, where, marks=() if (where == "outside") == (task != "multilabel") else pytest.mark.slow)
    for task in TASK_SPECS
    for where in ("outside", "inside")
]


@pytest.mark.parametrize(("task", "preprocessing"), CASES)
def test_onnx_answers_as_pytorch_for_one_picture_and_for_many_and_its_snippet_as_predict(
    task_runs, task, preprocessing, tmp_path
):
    run = task_runs[task]
    made = export(run, "--format", "onnx", "--preprocessing", preprocessing, "--output", str(tmp_path))
    assert made["code"] == 0
    check = made["check"]
    assert check["largest_difference"] <= 1e-4 * max(1, check["largest_logit"])
    assert check.get("agreement_percent", 100) == 100
    assert "validation pictures" in check["pictures"]
    assert check["pytorch_ms"] > 0 < check["exported_ms"]

    file = Path(made["file"])
    network = RunNetwork(run, preprocessing)
    session = onnxruntime.InferenceSession(str(file))
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == network.about["classes"]
    assert about["task"] == task
    for count in (1, 5):
        batch = network.example(count)
        (theirs,) = session.run(None, {"images": batch.numpy()})
        with torch.inference_mode():
            ours = network.module(batch).numpy()
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4 * max(1, np.abs(ours).max()))

    picture = a_picture(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", made["snippet"]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "fine_tuner" not in made["snippet"].replace(file.name, "")
    said, expected = numbers_of(done.stdout), answer_of(run, picture)
    for name, value in said.items():
        assert value == pytest.approx(expected[name], rel=0.02, abs=0.01), "resizing by Pillow differs by a grey level"


@pytest.mark.slow
def test_torch_export_answers_as_pytorch_and_its_snippet_needs_no_torchvision(task_runs, tmp_path):
    run = task_runs["classification"]
    made = export(run, "--format", "torch-export", "--output", str(tmp_path))
    assert made["check"]["largest_difference"] <= 1e-5
    a_picture(tmp_path)
    snippet = "import sys; sys.modules['torchvision'] = None\n" + made["snippet"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = answer_of(run, tmp_path / "picture.jpg")
    assert numbers_of(done.stdout) == pytest.approx(expected, abs=0.01)


def test_int8_is_smaller_and_tells_what_it_cost(task_runs, tmp_path):
    run = task_runs["classification"]
    full = export(run, "--format", "onnx", "--output", str(tmp_path))
    small = export(run, "--format", "onnx-int8", "--output", str(tmp_path))
    assert small["check"]["exported_mib"] < 0.6 * full["check"]["exported_mib"]
    assert 0 <= small["check"]["agreement_percent"] <= 100
    assert set(small["check"]["metrics_before"]) == set(small["check"]["metrics_after"]) >= {"accuracy"}
    kinds = {node.op_type for node in onnx.load(small["file"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_a_run_whose_pictures_are_gone_is_checked_on_noise_and_says_so(task_runs, tmp_path):
    run = task_runs["classification"]
    text = run.splits.read_text()
    try:
        run.splits.write_text(text.replace(".png", ".gone.png"))
        made = export(run, "--format", "onnx", "--output", str(tmp_path))
    finally:
        run.splits.write_text(text)
    assert "noise" in made["check"]["pictures"]


def test_what_goes_wrong_is_a_sentence_and_leaves_nothing(task_runs, tmp_path, monkeypatch, capsys):
    run = task_runs["classification"]

    def refused(*words: str) -> str:
        assert main(["export", str(run.path), *words, "--output", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    (tmp_path / "out").mkdir()
    keep = tmp_path / "out" / f"{run.id}.onnx"
    keep.write_text("mine")
    assert "--force" in refused("--format", "onnx")
    assert keep.read_text() == "mine"
    keep.unlink()

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "fine_tuner.export.networks.onnx_file", raising=False)
    assert refused("--format", "onnx").endswith("Run: pip install onnx\n")
    monkeypatch.undo()

    weights = run.best_weights.rename(tmp_path / "weights")
    try:
        assert "no weights yet" in refused("--format", "onnx")
    finally:
        weights.rename(run.best_weights)
    assert "There is no format" in refused("--format", "tflite")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_pictures_of_the_check_are_what_validation_sees(task_runs):
    run = task_runs["classification"]
    network = RunNetwork(run)
    (first, *_), records = network.pictures("val", 3).inputs, json.loads(run.splits.read_text())
    assert records["splits"]["val"]
    picture, _ = load_input(
        Path(records["root"]) / records["splits"]["val"][0]["image"], network.transform, lambda s: 0
    )
    assert torch.equal(first[0], picture)
