"""A Space: pushed as it is, it starts where this package is not, and answers as the app does. And the model card."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.stats import binomtest

from fine_tuner.cli.main import main
from fine_tuner.export.model_card import facts_of_run, interval
from tests.export.conftest import answer_of, picture


def front_of(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of gradio_client's own
@pytest.mark.parametrize("task", ["classification", "regression", "multilabel", "segmentation"])
def test_a_space_starts_without_this_package_and_answers_as_predict(task_runs, task, tmp_path):
    from gradio_client import Client, handle_file

    run, folder, image = task_runs[task], tmp_path / "space", tmp_path / "picture.png"
    picture(3, 1).save(image)
    assert main(["export", str(run.path), "--format", "space", "--output", str(folder)]) == 0
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)
    refuse = "import sys; sys.modules.update(fine_tuner=None, torch=None)\n"
    (folder / "start.py").write_text(f"{refuse}import app; app.demo.launch(server_port=None)\n")
    with subprocess.Popen(
        [sys.executable, "start.py"], cwd=folder, env=environment | {"GRADIO_SERVER_PORT": "7893"},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            found = Client(address, verbose=False).predict(handle_file(str(image)), api_name="/answer")
        finally:
            process.terminate()
    expected = answer_of(run, image)
    if task == "segmentation":
        masks = {
            part["label"]: np.asarray(Image.open(part["image"]).convert("RGBA"))[..., 3]
            for part in found["annotations"]
        }
        shares = {name: (mask > 0).mean() for name, mask in masks.items()}
        assert shares == pytest.approx(expected, abs=0.02), "the picture is a square, so nothing is padding"
    elif task == "regression":
        assert found == pytest.approx(expected, rel=0.02, abs=0.01)
    else:
        said = {entry["label"]: entry["confidence"] for entry in found["confidences"]}
        assert said == pytest.approx(expected, abs=0.01)


def test_its_folder_says_what_the_hub_reads_and_pins_what_runs(task_runs, tmp_path):
    run, folder = task_runs["classification"], tmp_path / "space"
    assert main(["export", str(run.path), "--format", "space", "--output", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "app.py", "model.onnx", "model.safetensors", "requirements.txt", "README.md",
    }  # fmt: skip
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert pinned == {name: version(name) for name in ("gradio", "onnxruntime", "numpy", "pillow")}
    front = front_of((folder / "README.md").read_text())
    assert (front["sdk"], front["app_file"], front["sdk_version"]) == ("gradio", "app.py", version("gradio"))


def test_a_card_tells_task_data_settings_metrics_with_interval_limits_and_licence(task_runs, tmp_path):
    run = task_runs["classification"]
    assert main(["export", str(run.path), "--format", "card", "--output", str(tmp_path / "card.md")]) == 0
    text, facts = (tmp_path / "card.md").read_text(), facts_of_run(run)
    assert front_of(text)["pipeline_tag"] == "image-classification"
    for heading in ("What it does", "Data", "How good it is", "Limits", "Settings", "Licence"):
        assert f"\n## {heading}\n" in text
    assert f"{facts['train_images']} images" in text
    assert "red" in text
    low, high = interval(facts["metrics"]["val/accuracy"], facts["val_images"])
    assert f"({100 * low:.1f} % to {100 * high:.1f} %, 95 %)" in text
    assert "train.epochs=1" in text


def test_the_interval_is_wilsons():
    for right, count in ((0, 5), (3, 5), (5, 5), (143, 153)):
        theirs = binomtest(right, count).proportion_ci(0.95, "wilson")
        assert interval(right / count, count) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
