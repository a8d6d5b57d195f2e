"""The forms that a loss can be given are shown on the data itself, before there is any code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.config.io import parse
from fine_tuner.losses.check.batch import synthetic
from fine_tuner.losses.check.given import example_forms
from fine_tuner.planning.loss_inputs import inputs_text, loss_inputs


def numbers(shown: str) -> list[float]:
    return [float(word) for word in shown.partition(": ")[2].split(", ")]


def test_each_form_of_two_classes_is_the_same_image_in_other_words(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(4):
            picture = np.random.default_rng([number, len(name) + ord(name[0])]).integers(
                0, 255, (32, 32, 3), dtype=np.uint8
            )
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    settings = {
        "data": {"path": str(tmp_path), "image_size": 32, "num_workers": 0},
        "model": {"name": "shufflenet_v2_x0_5", "weights": "none"},
    }
    result = loss_inputs(parse(settings))
    forms = {form["inputs"]: form for form in result["forms"]}
    of_class_1 = ["foreground_logit", "foreground_prob"]
    squeezed = [f"{form}_squeezed" for form in of_class_1]
    named = ["as_is", "log_probs", "probs", "logits_one_hot", "probs_one_hot", *of_class_1, *squeezed]
    both = [f"{form}_both_squeezed" for form in of_class_1]
    assert list(forms) == [*named, "as_is_unsqueezed", "probs_unsqueezed", *both]
    for form, alike in zip(squeezed, of_class_1, strict=True):
        assert forms[form]["output"] == forms[alike]["output"]
        assert forms[form]["target"].startswith("(4,) float32")
        assert numbers(forms[form]["target"])[:1] == numbers(forms[alike]["target"])
    (label,) = numbers(forms["as_is"]["target"])
    assert numbers(forms["probs_one_hot"]["target"]) == [1 - label, label]
    assert numbers(forms["foreground_prob"]["target"]) == [label]
    logits, probs = np.array(numbers(forms["as_is"]["output"])), np.array(numbers(forms["probs_one_hot"]["output"]))
    assert probs == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=5e-3)  # three digits are shown
    assert numbers(forms["foreground_prob"]["output"]) == pytest.approx([probs[1]], abs=1e-9)
    assert numbers(forms["foreground_logit"]["output"]) == pytest.approx([logits[1] - logits[0]], rel=2e-2, abs=1e-3)
    assert forms["foreground_logit"]["output"].startswith("(4, 1) float32")
    assert inputs_text(result).splitlines()[0] == "loss.inputs=as_is: logits and class numbers"


@pytest.mark.parametrize(
    ("task", "outputs", "count"),
    [("multilabel", 3, 4), ("regression", 1, 3), ("regression", 2, 1), ("segmentation", 4, 10)],
)
def test_other_tasks_have_the_forms_that_mean_something_there(task: str, outputs: int, count: int) -> None:
    batch = synthetic(task, outputs)
    if task == "segmentation":
        batch.targets[:, :2] = 255  # an example of pixels to ignore has no class of its own
    assert len(example_forms(batch, batch.model(batch.images))) == count
