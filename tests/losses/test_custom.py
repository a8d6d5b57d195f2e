"""A user's loss is found in its file in either style, gets float32, and fails with its own line in the message."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
import torch

from fine_tuner.base.cache_folder import CACHE_VARIABLE
from fine_tuner.base.errors import ConfigError, InputError, TrainingError
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.config.sections.second_loss import SECOND_VARIANTS
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import LossCodeError, read_code
from fine_tuner.losses.custom import CustomLossModule, load_custom_loss
from fine_tuner.losses.verdicts import checks_folder, permit, remember

MSE = "def my_loss(output, target):\n    return (output - target).square().mean()\n"
MODULE = """
from torch import nn
class Scaled(nn.Module):
    def __init__(self, factor=3.0):
        super().__init__()
        self.factor = factor
    def forward(self, output, target):
        return self.factor * (output - target).square().mean()
"""


def write(folder: Path, text: str, name: str = "my_code.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_both_styles_are_found(tmp_path: Path) -> None:
    output, target = torch.full((2, 1), 3.0), torch.ones(2, 1)
    function = load_custom_loss(write(tmp_path, MSE, "function.py"))
    module = load_custom_loss(write(tmp_path, MODULE, "module.py"))
    assert (function.style, function.entry, function.module(output, target).item()) == ("function", "my_loss", 4.0)
    assert (module.style, module.entry, module.module(output, target).item()) == ("class", "Scaled", 12.0)


def test_an_instance_can_stand_for_a_class_with_arguments(tmp_path: Path) -> None:
    text = MODULE.replace("factor=3.0", "factor") + "my_loss = Scaled(2.0)\n"
    loaded = load_custom_loss(write(tmp_path, text))
    assert (loaded.style, loaded.entry) == ("class", "my_loss")
    assert loaded.module(torch.full((2, 1), 3.0), torch.ones(2, 1)).item() == 8.0


def test_a_named_entry_is_taken_among_several_and_helpers_do_not_count(tmp_path: Path) -> None:
    text = MSE + MSE.replace("my_loss", "_helper") + MSE.replace("my_loss", "other") + "import torch\nalias = other\n"
    file = write(tmp_path, text)
    assert load_custom_loss(file, "other").entry == "other"
    with pytest.raises(LossCodeError, match="2 possible losses: my_loss, other"):
        load_custom_loss(file)


def test_what_is_imported_is_not_a_candidate(tmp_path: Path) -> None:
    text = "from torch.nn import MSELoss\nfrom torch.nn.functional import l1_loss\n" + MSE
    assert load_custom_loss(write(tmp_path, text)).entry == "my_loss"


def test_the_code_is_kept_with_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    file = write(tmp_path, MSE)
    permit(checks_folder(), read_code(file).sha256)
    second = SECOND_VARIANTS["custom"](file=str(file))
    loss_fn = build_loss(CustomLoss(file=str(file)), task="regression", num_outputs=1, second=second)
    codes = [m.code for m in loss_fn.modules() if isinstance(m, CustomLossModule)]
    file.write_text("changed")
    assert [c.text for c in codes] == [MSE, MSE]
    assert codes[0].sha256 == hashlib.sha256(MSE.encode()).hexdigest()


def test_code_runs_only_with_a_permission_of_this_machine_whatever_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    file = write(tmp_path, f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n{MSE}")
    loss = CustomLoss(file=str(file), unchecked=True)
    with pytest.raises(ConfigError, match=r"has not passed a check on this machine.*check-loss"):
        build_loss(loss, task="regression", num_outputs=1)
    assert not (tmp_path / "ran").exists()

    sha256 = read_code(file).sha256
    remember(checks_folder(), {"ok": False, "sha256": sha256, "task": "regression", "findings": []}, entry="")
    with pytest.raises(ConfigError, match="has not passed"):
        build_loss(loss, task="regression", num_outputs=1)
    remember(checks_folder(), {"ok": True, "sha256": sha256, "task": "regression", "findings": []}, entry="")
    build_loss(loss, task="regression", num_outputs=1)
    assert (tmp_path / "ran").exists()

    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(ConfigError, match="has not passed"):
        build_loss(loss, task="regression", num_outputs=1)
    permit(checks_folder(), read_code(file).sha256)
    build_loss(loss, task="regression", num_outputs=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_gets_float32_and_no_autocast(tmp_path: Path, dtype: torch.dtype) -> None:
    text = """
import torch
def my_loss(output, target):
    assert output.dtype == torch.float32
    assert (output @ output.T).dtype == torch.float32
    return (output - target).square().mean()
"""
    loss_fn = load_custom_loss(write(tmp_path, text)).module
    output = torch.randn(2, 1).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        value = loss_fn(output, torch.ones(2, 1))
    value.backward()
    assert value.dtype == torch.float32
    assert output.grad is not None


def test_an_error_during_training_names_the_line(tmp_path: Path) -> None:
    text = "def my_loss(output, target):\n    return helper(output)\ndef helper(x):\n    return x * (1 / len([]))\n"
    loss_fn = load_custom_loss(write(tmp_path, text), "my_loss").module
    with pytest.raises(TrainingError, match=r"my_code.py, line 4 `return x \* \(1 / len\(\[\]\)\)`: ZeroDivisionError"):
        loss_fn(torch.ones(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize(
    ("body", "got"),
    [("output[:0]", r"\(0, 1\) torch.float32"), ("3.0", "float"), ("target.long().sum()", "torch.int64")],
)
def test_a_value_that_is_no_float_scalar_ends_training(tmp_path: Path, body: str, got: str) -> None:
    loss_fn = load_custom_loss(write(tmp_path, f"def my_loss(output, target):\n    return {body}\n")).module
    with pytest.raises(TrainingError, match=rf"line 2 .*the loss returned .*{got}.*not a scalar"):
        loss_fn(torch.ones(2, 1), torch.ones(2, 1))


def test_a_value_per_image_is_averaged(tmp_path: Path) -> None:
    text = "def my_loss(output, target):\n    return (output - target) ** 2\n"
    loss_fn = load_custom_loss(write(tmp_path, text)).module
    assert loss_fn(torch.tensor([[1.0], [4.0]]), torch.ones(2, 1)).item() == 4.5


def test_running_out_of_device_memory_passes_to_the_trainer(tmp_path: Path) -> None:
    text = "import torch\ndef my_loss(output, target):\n    raise torch.OutOfMemoryError('CUDA out of memory')\n"
    loss_fn = load_custom_loss(write(tmp_path, text)).module
    with pytest.raises(torch.OutOfMemoryError):
        loss_fn(torch.ones(2, 1), torch.ones(2, 1))


def test_it_can_be_copied(tmp_path: Path) -> None:
    loss_fn = copy.deepcopy(load_custom_loss(write(tmp_path, MODULE)).module)
    assert loss_fn(torch.full((2, 1), 3.0), torch.ones(2, 1)).item() == 12.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8"),
        (b"#" * 1_000_001, "1,000,001 bytes"),
        (b"x = 1\x00", "Write plain Python text|Correct the line"),
        (b"x = 1\n", "defines no loss"),
        (b"import torch\ndef f(a, b, c): return a\n", r"only f\(a, b, c\)"),
        (b"1 / 0\n", "line 1 `1 / 0`: the file fails while it is read, ZeroDivisionError"),
    ],
)
def test_a_file_without_a_loss_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "my_code.py"
    file.write_bytes(content)
    with pytest.raises(LossCodeError, match=says) as caught:
        load_custom_loss(file)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("file", "says"), [("", "no file is named"), ("/nowhere/loss.py", "No such file"), ("/", "Is a dir")]
)
def test_a_file_that_cannot_be_read_is_refused(file: str, says: str) -> None:
    with pytest.raises(LossCodeError, match=says):
        load_custom_loss(file)


def test_a_name_that_is_no_loss_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "value = 3\n" + MSE)
    with pytest.raises(LossCodeError, match="'value' is int, not a function or class"):
        load_custom_loss(file, "value")


def test_the_same_file_can_be_loaded_again_after_a_change(tmp_path: Path) -> None:
    file, ones = write(tmp_path, MSE), torch.ones(2, 1)
    assert load_custom_loss(file).module(3 * ones, ones).item() == 4
    file.write_text(MSE.replace(".mean()", ".sum()"))
    assert load_custom_loss(file).module(3 * ones, ones).item() == 8
