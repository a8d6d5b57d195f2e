"""Code as it is copied from notebooks and pages: what runs unchanged, and what is refused at its line."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fine_tuner.losses.check.batch import prepare, synthetic
from fine_tuner.losses.check.check import check_loss
from fine_tuner.losses.code import LossCodeError, read_code
from fine_tuner.losses.custom import load_custom_loss
from fine_tuner.losses.pasted import CUSTOMARY, import_of, names_to_import
from fine_tuner.losses.signature import possible_losses
from fine_tuner.losses.trials.meaning import LossUse, settle

BODY = "return torch.mean((output - target) ** 2)"
DEF = f"def my_loss(output, target):\n    {BODY}\n"
DICE = """\
    def {method}(self, pred, target):
        pred, target = torch.sigmoid(pred).view(-1), target.view(-1)
        return 1 - (2 * (pred * target).sum() + 1) / (pred.sum() + target.sum() + 1)
"""
RUNS = {
    "one line without an import": (f"def my_loss(output, target): {BODY}\n", "probs_one_hot"),
    "a class without imports": (f"class DiceLoss(nn.Module):\n{DICE.format(method='forward')}", "foreground_logit"),
    "a class of no module": (f"import torch\nclass DiceLoss:\n{DICE.format(method='__call__')}", "foreground_logit"),
    "an object of it": (f"class Dice:\n{DICE.format(method='__call__')}criterion = Dice()\n", "foreground_logit"),
    "torch's own, imported": ("from torch.nn import BCEWithLogitsLoss\nc = BCEWithLogitsLoss()\n", "foreground_logit"),
    "torch's own with smoothing": ("criterion = nn.CrossEntropyLoss(label_smoothing=0.1)\n", "as_is"),
    "a second name": ("my_loss = F.cross_entropy\n", "as_is"),
    "torchvision's, in part": (
        "from functools import partial\nfrom torchvision.ops import sigmoid_focal_loss\n"
        "criterion = partial(sigmoid_focal_loss, reduction='mean')\n",
        "foreground_logit",
    ),
    "a lambda": ("criterion = lambda output, target: ((output - target) ** 2).mean()\n", "probs_one_hot"),
    "keywords passed on": ("def criterion(p, t, **kwargs):\n    return F.cross_entropy(p, t, **kwargs)\n", "as_is"),
    "a decorator": (
        "def twice(fn):\n    def inner(output, target):\n        return 2 * fn(output, target)\n    return inner\n\n\n"
        f"@twice\n{DEF}",
        "probs_one_hot",
    ),
    "a compiled function": (f"@torch.compile\n{DEF}", "probs_one_hot"),
    "a scripted function": (f"import torch\n@torch.jit.script\n{DEF}", "probs_one_hot"),
    "type hints": (f"def my_loss(output: Tensor, target: Tensor) -> Tensor:\n    {BODY}\n", "probs_one_hot"),
    "a column of targets": (
        "def c(output, target):\n    return F.binary_cross_entropy_with_logits(output, target.view(-1, 1).float())\n",
        "foreground_logit",
    ),
    "an axis taken off both": (
        "def c(output, target):\n    return F.binary_cross_entropy_with_logits(output.squeeze(1), target.squeeze(1))\n",
        "foreground_logit",
    ),
    "an axis given to the target": (
        "def c(output, target):\n"
        "    return F.binary_cross_entropy_with_logits(output, target.unsqueeze(1).float())\n",
        "foreground_logit_squeezed",
    ),
    "an axis taken off the output": (
        "def c(output, target):\n    return F.binary_cross_entropy_with_logits(output.squeeze(), target.float())\n",
        "foreground_logit_squeezed",
    ),
    "a hinge": ("def c(output, target):\n    return F.relu(1 - (2 * target - 1) * output).mean()", "foreground_logit"),
    "tabs": (DEF.replace("    ", "\t"), "probs_one_hot"),
    "line ends of Windows": (DEF.replace("\n", "\r\n"), "probs_one_hot"),
    "a byte order mark": ("\ufeff" + DEF, "probs_one_hot"),
    "a try of its own": (f"{DEF}print(my_loss(torch.zeros(2), torch.ones(2)))\n", "probs_one_hot"),
}  # fmt: skip
REFUSED = {
    "an import from beside it": ("import math\nfrom .utils import one_hot\n", 2, "A loss is one file"),
    "a command of a notebook": (f"!pip install monai\n{DEF}", 1, "a command of the notebook"),
    "a magic of a notebook": (f"import torch\n%matplotlib inline\n{DEF}", 2, "a command of the notebook"),
    "a fence": (f"```python\n{DEF}```\n", 1, "marks code on a page"),
    "a prompt": (">>> import torch\n", 1, "Remove the prompts"),
    "a space that is none": (DEF.replace("    ", "\u00a0" * 4), 2, "ordinary space"),
    "curved quotes": (f"{DEF}print(\u201chi\u201d)\n", 3, "straight quotes"),
    "all moved to the right": ("    import torch\n", 1, "at the margin"),
    "tabs and spaces": (f"{DEF.splitlines()[0]}\n        x = 1\n\t{BODY}\n", 3, "Indent all lines with spaces"),
    "Python 2": (f"{DEF}print 'hi'\n", 3, "Python 2"),
    "the rest of a notebook": (f"{DEF}optimizer = torch.optim.Adam(model.parameters())\n", 3, "no part of the loss"),
}  # fmt: skip


def write(folder: Path, text: str) -> Path:
    file = folder / "pasted.py"
    file.write_bytes(text.encode())
    return file


SLOW = {"a compiled function"}  # to import the compiler takes seconds


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in RUNS])
def test_it_runs_unchanged_in_the_form_it_was_written_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, form = RUNS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch.jit.script, which is deprecated and still circulates
        settled = settle(read_code(write(tmp_path, text)), "", "", LossUse(task="classification", num_outputs=2))
    assert settled.loaded.module.adaptation.inputs == form
    assert any(c.has_meaning for c in settled.considered)
    told = [possible.name for possible in possible_losses(text.lstrip("\ufeff"))]
    assert told == [settled.loaded.entry]  # page and script tell it from the text


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_python_is_refused_with_its_line_and_what_to_do(name: str, tmp_path: Path) -> None:
    text, line, remedy = REFUSED[name]
    with pytest.raises(LossCodeError, match=remedy) as refused:
        load_custom_loss(write(tmp_path, text))
    assert refused.value.finding.line == line


def test_only_names_that_the_code_does_not_have_are_imported() -> None:
    assert names_to_import(DEF) == ("torch",)
    assert names_to_import(f"import torch\n{DEF}") == ()
    assert names_to_import("def f(output, F):\n    return F(output)\n") == ()
    assert names_to_import("from torch import nn\nclass A(nn.Module):\n    x = F\n") == ("F",)
    assert names_to_import("torch = 1\nprint(torch)\n") == ()
    assert names_to_import("not python") == ()
    for name in CUSTOMARY:
        assert ast.unparse(ast.parse(import_of(name))) == import_of(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it runs")
def test_code_that_asks_for_a_gpu_says_what_to_write_where_there_is_none(tmp_path: Path) -> None:
    prepared = prepare(synthetic("classification", 2))
    inside = "def my_loss(output, target):\n    return F.cross_entropy(output, target.cuda())\n"
    above = "weight = torch.tensor([1.0, 2.0]).to('cuda')\n" + inside.replace(".cuda()", ", weight")
    for text, line in ((inside, 2), (above, 1)):
        report = check_loss(write(tmp_path, text), "", prepared)
        error = report["findings"][0]
        assert (error["kind"], error["line"]) == ("no_gpu", line)
        assert ".to(output.device)" in error["remedy"]


def test_an_axis_that_only_several_images_have_is_told(tmp_path: Path) -> None:
    report = check_loss(
        write(tmp_path, RUNS["an axis taken off the output"][0]), "", prepare(synthetic("classification", 2))
    )
    (error,) = [f for f in report["findings"] if f["level"] == "error"]
    assert "a batch of one image" in error["what"]
    assert "squeeze(1)" in error["remedy"]


def test_a_loss_whose_gradients_balance_by_chance_still_reaches_all(tmp_path: Path) -> None:
    file = write(tmp_path, "criterion = nn.MultiMarginLoss()\n")
    report = check_loss(file, "", prepare(synthetic("classification", 2)))
    assert report["ok"], report["findings"]


def test_a_plain_object_moves_its_tensors_with_it(tmp_path: Path) -> None:
    text = (
        "import torch\nclass Weighted:\n    def __init__(self):\n        self.weight = torch.tensor([1.0, 3.0])\n"
        "    def __call__(self, output, target):\n"
        "        return torch.nn.functional.cross_entropy(output, target, self.weight)\n"
    )
    module = load_custom_loss(write(tmp_path, text)).module
    output, target = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    assert torch.equal(module(output, target), F.cross_entropy(output, target, torch.tensor([1.0, 3.0])))
    assert module.double().loss.weight.dtype == torch.float64
