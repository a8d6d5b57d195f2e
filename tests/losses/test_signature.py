"""What a file defines is told from its text, and its arguments are read as a call's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fine_tuner.losses.code import LossCodeError
from fine_tuner.losses.custom import load_custom_loss
from fine_tuner.losses.signature import TensorValue, possible_losses, read_arguments

FOCAL = """\
import torch
from torch import nn


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, weight=None, reduction="mean"):
        super().__init__()
        self.gamma, self.weight = gamma, weight

    def forward(self, inputs, targets, smooth=1):
        return self.gamma * (inputs - targets).square().mean() + smooth
"""
HELPED = """\
def dice_coefficient(pred, target):
    return (pred * target).mean()


def dice_loss(pred, target, *, scale=1.0):
    return scale - dice_coefficient(pred, target)
"""
TWO = "def one(output, target):\n    return output.mean()\n\n\ndef two(output, target):\n    return output.mean()\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.py"
    file.write_text(text)
    return file


def test_arguments_of_constructor_and_call_are_found_with_their_defaults() -> None:
    (loss,) = possible_losses(FOCAL)
    assert (loss.name, loss.style) == ("FocalLoss", "class")
    assert [(a.name, a.default, a.role) for a in loss.arguments] == [
        ("gamma", "2.0", "constructor"), ("weight", "None", "constructor"), ("reduction", "'mean'", "constructor"),
        ("smooth", "1", "forward"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (FOCAL, ["FocalLoss"]),
        (FOCAL + "\n\ncriterion = FocalLoss(gamma=3)\n", ["criterion"]),
        ("from torch import nn\n\ncriterion = nn.SmoothL1Loss()\n", ["criterion"]),
        (HELPED, ["dice_loss"]),
        (TWO, ["one", "two"]),
        ("my_loss = lambda output, target: (output - target).abs()\n", ["my_loss"]),
        ("def helper(x):\n    return x\n", []),
        ("def (", []),
    ],
)
def test_text_and_file_agree_on_which_losses_there_are(text: str, names: list[str], tmp_path: Path) -> None:
    assert [loss.name for loss in possible_losses(text)] == names
    if len(names) == 1:
        assert load_custom_loss(write(tmp_path, text)).entry == names[0]
    else:
        with pytest.raises(LossCodeError):
            load_custom_loss(write(tmp_path, text))


def test_arguments_reach_constructor_and_call(tmp_path: Path) -> None:
    file, ones = write(tmp_path, FOCAL), torch.ones(2, 1)
    assert load_custom_loss(file).module(3 * ones, ones).item() == 2 * 4 + 1
    assert load_custom_loss(file, arguments="gamma=0.5, smooth=10").module(3 * ones, ones).item() == 0.5 * 4 + 10
    made = write(tmp_path, FOCAL + "\n\ncriterion = FocalLoss(gamma=3)\n")
    assert load_custom_loss(made, arguments="smooth=0").module(3 * ones, ones).item() == 12


def test_a_tensor_among_arguments_moves_with_the_loss(tmp_path: Path) -> None:
    loaded = load_custom_loss(write(tmp_path, FOCAL), arguments="weight=torch.tensor([1.0, 2.0])")
    assert isinstance(loaded.module.loss, nn.Module)
    assert torch.equal(loaded.module.loss.weight, torch.tensor([1.0, 2.0]))
    loaded.module.to("meta")
    assert loaded.module.loss.weight.device.type == "meta"


def test_the_number_of_classes_is_given_to_a_constructor_that_needs_it(tmp_path: Path) -> None:
    text = FOCAL.replace("gamma=2.0, weight", "num_classes, gamma=2.0, weight").replace(
        "super()", "self.k = num_classes; super()"
    )
    assert load_custom_loss(write(tmp_path, text), num_outputs=7).module.loss.k == 7
    with pytest.raises(LossCodeError, match="needs num_classes"):
        load_custom_loss(write(tmp_path, text))


def test_arguments_are_literals_with_names() -> None:
    assert read_arguments("") == {}
    assert read_arguments("gamma=2, weight=[1.0, 2], name='x', alpha=None, w=torch.tensor([1.0])") == {
        "gamma": 2, "weight": [1.0, 2], "name": "x", "alpha": None, "w": TensorValue([1.0]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2.0", "without a name"),
        ("gamma", "without a name"),
        ("gamma=", "not a list of name=value"),
        ("gamma=2)(", "not a list of name=value"),
        ("gamma=open('x')", "no number, text, list"),
    ],
)
def test_arguments_of_another_form_are_refused_with_the_way_to_write_them(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_arguments(text)


def test_an_argument_that_the_loss_does_not_take_is_refused_with_those_it_takes(tmp_path: Path) -> None:
    with pytest.raises(LossCodeError, match=r"takes no argument gama.*gamma, weight, reduction, smooth"):
        load_custom_loss(write(tmp_path, FOCAL), arguments="gama=2")
