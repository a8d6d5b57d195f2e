"""OpenVINO, ExecuTorch and Core ML: the same answers where they run; a sentence where their package is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from tests.export.conftest import answer_of, numbers_of, picture

PACKAGES = {"openvino": "openvino", "executorch": "executorch", "coreml": "coremltools"}
WITH_RUNTIME = [kind for kind in PACKAGES if kind != "coreml"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of their own code
@pytest.mark.parametrize("kind", WITH_RUNTIME)
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_answers_are_those_of_pytorch_and_the_snippet_gives_them(task_runs, kind, task, tmp_path, capsys):
    pytest.importorskip(PACKAGES[kind])
    run, folder = task_runs[task], tmp_path / "made"
    capsys.readouterr()
    assert main(["export", str(run.path), "--format", kind, "--output", str(folder), "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["check"]["largest_difference"] <= 1e-4 * max(1, made["check"]["largest_logit"])
    assert made["check"]["agreement_percent"] == pytest.approx(100, abs=0.1)
    assert json.loads((folder / "about.json").read_text())["task"] == task

    picture(3, 1).save(tmp_path / "picture.jpg", quality=98)
    code = f"import sys; sys.path += {[p for p in sys.path if 'fine' not in p]!r}\n{made['snippet']}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = answer_of(run, tmp_path / "picture.jpg")
    assert numbers_of(done.stdout) == pytest.approx(expected, rel=0.02, abs=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of coremltools' own code
def test_core_ml_holds_names_and_says_that_it_was_not_checked(task_runs, tmp_path, capsys):
    coremltools = pytest.importorskip("coremltools")
    run, folder = task_runs["classification"], tmp_path / "made.mlpackage"
    assert main(["export", str(run.path), "--format", "coreml", "--output", str(folder)]) == 0
    assert "Not checked: Core ML runs on macOS" in capsys.readouterr().err
    spec = coremltools.models.MLModel(str(folder), skip_model_load=True).get_spec()
    assert json.loads(spec.description.metadata.userDefined["classes"]) == ["blue", "red"]


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_missing_package_is_named_and_nothing_is_left(task_runs, kind, tmp_path, monkeypatch, capsys):
    for name in list(sys.modules):
        if name.partition(".")[0] == PACKAGES[kind]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, PACKAGES[kind], None)
    place = Path(tmp_path, "place")
    words = ["export", str(task_runs["classification"].path), "--format", kind, "--output", str(place / "made")]
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(f"Run: pip install {PACKAGES[kind]}\n")
    assert list(place.iterdir()) == []
